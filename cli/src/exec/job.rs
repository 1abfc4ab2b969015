//! CMD and its children: one process group, and what this process has adopted from it.

use std::{ffi::OsString, io};

use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, test_kill_process,
        test_kill_process_group, waitpgid, waitpid,
    },
};

use crate::{
    exec::{
        adopted::{self, Awaited},
        launch::Launch,
        nesting,
    },
    exit::by_signal,
};

/// The process group, from before CMD runs until the last process has ended.
#[derive(Debug)]
pub(crate) struct Job {
    launch: Launch,
    group: Pid,
    code: Option<u8>,
    /// Whether the command was reaped.
    ended: bool,
    gone: bool,
    /// How an environment variable of the command and its descendants begins.
    mark: String,
    /// Children of this process that were there before the command.
    before: Vec<Pid>,
    /// Processes of other groups that have received SIGTERM.
    asked: Vec<Pid>,
    _awaited: Awaited,
}

/// A change of the state of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Stopped by this signal.
    Stopped(i32),
    Continued,
}

impl Job {
    /// Starts a process that will become the command.
    pub(crate) fn prepare(
        command: &[OsString],
        variables: &[(&str, String)],
        quiet: bool,
    ) -> io::Result<Self> {
        let mark = nesting::mark(variables);
        let before = adopted::running(&mark);
        // Orphans of the command become children of this process, which can then wait for them.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let launch = Launch::prepare(command, variables, quiet)?;
        let group = Pid::from_child(&launch.process);
        Ok(Self {
            launch,
            group,
            code: None,
            ended: false,
            gone: false,
            mark,
            before,
            asked: Vec::new(),
            _awaited: Awaited::new(group),
        })
    }

    pub(crate) fn begin(&self) -> io::Result<()> {
        self.launch.begin()
    }

    pub(crate) const fn group(&self) -> Pid {
        self.group
    }

    /// Reaps processes that have ended. Returns the last change of the command's state since the last call.
    pub(crate) fn reap(&mut self) -> Option<Change> {
        let changes = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        let mut change = None;
        while !self.ended {
            match waitpid(Some(self.group), changes) {
                Ok(Some((_, status))) => change = self.note(status).or(change),
                Err(Errno::INTR) => {}
                Ok(None) => break,
                // Reaped by other code: the exit code is not known.
                Err(_) => self.ended = true,
            }
        }
        while !self.gone {
            match waitpgid(self.group, WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.group => {
                    change = self.note(status).or(change);
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(_) => break,
            }
        }
        // Only ESRCH means that the group is gone: EPERM is the answer if its processes belong to another user. The id
        // may be reused once the group is gone: never test it again.
        self.gone |= self.ended && test_kill_process_group(self.group) == Err(Errno::SRCH);
        change.filter(|_| !self.ended)
    }

    fn note(&mut self, status: WaitStatus) -> Option<Change> {
        if let Some(signal) = status.stopping_signal() {
            return Some(Change::Stopped(signal));
        }
        if status.continued() {
            return Some(Change::Continued);
        }
        self.code = exit_code(status);
        self.ended = true;
        None
    }

    /// The exit code of the command itself, once it has ended.
    pub(crate) const fn code(&self) -> Option<u8> {
        self.code
    }

    /// Whether the command itself has ended.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether all processes of the group have ended.
    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Sends `signal` to the whole group, unless it is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.gone {
            let _ = kill_process_group(self.group, signal);
        }
    }

    /// The running processes in other groups that this process has adopted since the command began. A process whose
    /// parent still runs is not adopted yet.
    pub(crate) fn left(&self) -> Vec<Pid> {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return Vec::new();
        }
        adopted::reap();
        let left = || {
            let mut running = adopted::running(&self.mark);
            running.retain(|pid| !self.before.contains(pid));
            running
        };
        // One look reads process after process: a child of a process that ends meanwhile may be missing.
        let first = left();
        if first.is_empty() { left() } else { first }
    }

    /// Sends SIGTERM to those of `left` that did not receive it yet.
    pub(crate) fn terminate(&mut self, left: &[Pid]) {
        for pid in left {
            if !self.asked.contains(pid) {
                let _ = kill_process(*pid, Signal::TERM);
                let _ = kill_process(*pid, Signal::CONT);
                self.asked.push(*pid);
            }
        }
    }

    /// Sends SIGKILL to `left`.
    pub(crate) fn kill(left: &[Pid]) {
        for pid in left {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }

    /// What still exists, and why it may have survived SIGKILL.
    pub(crate) fn survivors(&self, left: &[Pid]) -> String {
        let number = |pid: Pid| pid.as_raw_nonzero();
        let (what, refused) = match left.first() {
            Some(pid) if self.gone => (
                format!("process {} below it", number(*pid)),
                test_kill_process(*pid) == Err(Errno::PERM),
            ),
            _ => (
                format!("its process group {}", number(self.group)),
                test_kill_process_group(self.group) == Err(Errno::PERM),
            ),
        };
        let why = if refused {
            "belongs to another user, so that this process may not end it"
        } else {
            "still exists after SIGKILL, for example because it hangs in the kernel"
        };
        format!("{what} {why}")
    }
}

/// The exit code; `None` if the process was only stopped.
fn exit_code(status: WaitStatus) -> Option<u8> {
    if let Some(signal) = status.terminating_signal() {
        return Some(by_signal(signal));
    }
    status.exit_status().map(|code| u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
