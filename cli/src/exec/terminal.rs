//! The controlling terminal, and which process group is in its foreground.

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
    /// The terminal that this process may give to its command. `None` without a terminal, and in a pipeline,
    /// because `leasehold lock … | less` would take it from `less`.
    pub(crate) fn of_this_process() -> Option<Self> {
        let piped = rustix::fs::fstat(io::stdout())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let modes = tcgetattr(&tty).ok();
        (!piped).then(|| Self { tty: tty.into(), own: getpgrp(), modes })
    }

    /// Whether a shell can continue this job after it was stopped.
    pub(crate) fn has_job_control(&self) -> bool {
        getsid(None).is_ok_and(|session| session != self.own)
    }

    /// Gives the foreground to `job`, if the group of this process has it.
    pub(crate) fn hand_over(&self, job: Pid) {
        self.pass(self.own, job);
    }

    /// Takes the foreground back from `job`.
    pub(crate) fn take_back(&self, job: Pid) {
        self.pass(job, self.own);
    }

    /// Restores the terminal modes, because a killed command could not.
    pub(crate) fn restore(&self) {
        if let Some(modes) = self.modes.as_ref().filter(|_| tcgetpgrp(&self.tty) == Ok(self.own)) {
            let _ = tcsetattr(&self.tty, OptionalActions::Drain, modes);
        }
    }

    fn pass(&self, from: Pid, to: Pid) {
        if tcgetpgrp(&self.tty) != Ok(from) {
            return;
        }
        // A background process that does this is stopped by SIGTTOU, unless the signal is blocked.
        let mut blocked = SigSet::empty();
        blocked.add(Number::SIGTTOU);
        if blocked.thread_block().is_ok() {
            let _ = tcsetpgrp(&self.tty, to);
            let _ = blocked.thread_unblock();
        }
    }
}
