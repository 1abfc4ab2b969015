//! CMD and its children: one process group.

use std::{ffi::OsString, io};

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process_group, test_kill_process_group, waitpgid,
};

use crate::{exec::launch::Launch, exit::by_signal};

/// The process group, from before CMD runs until the last process has ended.
#[derive(Debug)]
pub(crate) struct Job {
    launch: Launch,
    group: Pid,
    code: Option<u8>,
    gone: bool,
}

impl Job {
    /// Starts a process that will become the command.
    pub(crate) fn prepare(command: &[OsString], variables: &[(&str, String)]) -> io::Result<Self> {
        // Orphans of the command become children of this process, which can then wait for them.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let launch = Launch::prepare(command, variables)?;
        let group = Pid::from_child(&launch.process);
        Ok(Self { launch, group, code: None, gone: false })
    }

    pub(crate) fn begin(&self) -> io::Result<()> {
        self.launch.begin()
    }

    pub(crate) const fn group(&self) -> Pid {
        self.group
    }

    /// Reaps processes that have ended. Returns true if the command was stopped by a signal since the last call.
    pub(crate) fn reap(&mut self) -> bool {
        let mut stopped = false;
        while !self.gone {
            match waitpgid(self.group, WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((pid, status))) if pid == self.group => match exit_code(status) {
                    Some(code) => self.code = Some(code),
                    None => stopped = true,
                },
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => break,
            }
        }
        // The id may be reused once the group is gone: never test it again.
        self.gone |= self.code.is_some() && test_kill_process_group(self.group).is_err();
        stopped && self.code.is_none()
    }

    /// The exit code of the command itself, once it has ended.
    pub(crate) const fn code(&self) -> Option<u8> {
        self.code
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
}

/// The exit code; `None` if the process was only stopped.
fn exit_code(status: WaitStatus) -> Option<u8> {
    if let Some(signal) = status.terminating_signal() {
        return Some(by_signal(signal));
    }
    status.exit_status().map(|code| u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
