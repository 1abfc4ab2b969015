//! The terminal, and whose turn it is to use it.

use std::{fs::File, io, os::fd::OwnedFd};

use nix::sys::signal::{SigSet, Signal as Number};
use rustix::{
    fs::FileType,
    process::{Pid, getpgrp, getsid},
    termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp},
};

/// The controlling terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: OwnedFd,
    own: Pid,
    modes: Option<Termios>,
}

impl Terminal {
    /// The terminal that this process may give to a job of its own: none without one, and none in the
    /// middle of a pipeline, where `leasehold lock … | less` would take it from `less`.
    pub(crate) fn of_this_process() -> Option<Self> {
        let piped = rustix::fs::fstat(io::stdout())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let modes = tcgetattr(&tty).ok();
        (!piped).then(|| Self { tty: tty.into(), own: getpgrp(), modes })
    }

    /// Whether there is a shell above that would bring a stopped job back.
    pub(crate) fn has_job_control(&self) -> bool {
        getsid(None).is_ok_and(|session| session != self.own)
    }

    /// Gives the foreground to `job` if this process's own group has it.
    pub(crate) fn hand_over(&self, job: Pid) {
        self.pass(self.own, job);
    }

    /// Takes the foreground back from `job`.
    pub(crate) fn take_back(&self, job: Pid) {
        self.pass(job, self.own);
    }

    /// Restores the modes that it had in the beginning: what was killed could not do so itself.
    pub(crate) fn restore(&self) {
        if let Some(modes) = self.modes.as_ref().filter(|_| tcgetpgrp(&self.tty) == Ok(self.own)) {
            let _ = tcsetattr(&self.tty, OptionalActions::Drain, modes);
        }
    }

    fn pass(&self, from: Pid, to: Pid) {
        if tcgetpgrp(&self.tty) != Ok(from) {
            return;
        }
        // Who does this from the background is stopped for it, unless the signal is blocked.
        let mut blocked = SigSet::empty();
        blocked.add(Number::SIGTTOU);
        if blocked.thread_block().is_ok() {
            let _ = tcsetpgrp(&self.tty, to);
            let _ = blocked.thread_unblock();
        }
    }
}
