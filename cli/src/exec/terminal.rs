//! The controlling terminal, and which process group is in its foreground.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use nix::{
    sys::signal::{SigSet, Signal as Number},
    unistd::{getpgrp, getsid},
};
use rustix::{
    fs::FileType,
    process::Pid,
    termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp},
};

/// The controlling terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: OwnedFd,
    own: Pid,
    modes: Option<Termios>,
    /// Whether another process of the same pipeline may use the terminal too.
    shared: bool,
}

impl Terminal {
    /// The terminal of this process: `/dev/tty`, or standard input where that file cannot be opened.
    pub(crate) fn of_this_process() -> Option<Self> {
        let shared = rustix::fs::fstat(io::stdout())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let tty = File::options().read(true).write(true).open("/dev/tty").map(OwnedFd::from);
        let tty = tty.or_else(|_| io::stdin().as_fd().try_clone_to_owned()).ok()?;
        // Fails for anything but the controlling terminal.
        tcgetpgrp(&tty).ok()?;
        // 0 if the group is in another PID namespace: it could not get the terminal back.
        let own = Pid::from_raw(getpgrp().as_raw())?;
        let modes = tcgetattr(&tty).ok();
        Some(Self { tty, own, modes, shared })
    }

    /// Whether the command gets the foreground only when it needs it. `leasehold lock … | less` would otherwise take
    /// the terminal from `less`.
    pub(crate) const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether a shell can continue this job after it was stopped.
    pub(crate) fn has_job_control(&self) -> bool {
        getsid(None).is_ok_and(|session| session.as_raw() != self.own.as_raw_nonzero().get())
    }

    /// Gives the foreground to `job`, if the group of this process has it. Returns whether `job` has it now.
    pub(crate) fn hand_over(&self, job: Pid) -> bool {
        self.pass(self.own, job);
        tcgetpgrp(&self.tty) == Ok(job)
    }

    /// Takes the foreground back from `job`. Returns whether `job` had it.
    pub(crate) fn take_back(&self, job: Pid) -> bool {
        self.pass(job, self.own)
    }

    /// Restores the terminal modes, because a killed command could not.
    pub(crate) fn restore(&self) {
        if let Some(modes) = self.modes.as_ref().filter(|_| tcgetpgrp(&self.tty) == Ok(self.own)) {
            let _ = tcsetattr(&self.tty, OptionalActions::Drain, modes);
        }
    }

    fn pass(&self, from: Pid, to: Pid) -> bool {
        if tcgetpgrp(&self.tty) != Ok(from) {
            return false;
        }
        // A background process that does this is stopped by SIGTTOU, unless the signal is blocked.
        let mut blocked = SigSet::empty();
        blocked.add(Number::SIGTTOU);
        if blocked.thread_block().is_ok() {
            let _ = tcsetpgrp(&self.tty, to);
            let _ = blocked.thread_unblock();
        }
        true
    }
}
