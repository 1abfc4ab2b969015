//! A command and what it starts: one process group.

use std::{ffi::OsString, io};

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process_group, test_kill_process_group, waitpgid,
};

use crate::{exec::launch::Launch, exit::by_signal};

/// The group, from before its first process is the command until its last has gone.
#[derive(Debug)]
pub(crate) struct Job {
    launch: Launch,
    group: Pid,
    code: Option<u8>,
    gone: bool,
}

impl Job {
    /// Prepares the command without running it.
    pub(crate) fn prepare(command: &[OsString], variables: &[(&str, String)]) -> io::Result<Self> {
        // What the command leaves behind comes to this process, which can then see it end.
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

    /// Takes note of what has ended; true if the command has been stopped since.
    pub(crate) fn look(&mut self) -> bool {
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
        // Its number may be another's from the moment it is gone: never looked at again.
        self.gone |= self.code.is_some() && test_kill_process_group(self.group).is_err();
        stopped && self.code.is_none()
    }

    /// The exit code of the command itself, once it has ended.
    pub(crate) const fn code(&self) -> Option<u8> {
        self.code
    }

    /// Whether nothing of the group is left.
    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Sends `signal` to the whole group, while there is one.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.gone {
            let _ = kill_process_group(self.group, signal);
        }
    }
}

/// The exit code to pass on; `None` if it has only stopped.
fn exit_code(status: WaitStatus) -> Option<u8> {
    if let Some(signal) = status.terminating_signal() {
        return Some(by_signal(signal));
    }
    status.exit_status().map(|code| u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
