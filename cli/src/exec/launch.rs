//! From a process that waits to the command: nothing of CMD runs before its group is guarded.
//!
//! The process that becomes CMD begins as this program, with a socket as its standard input. Through
//! that it is handed the standard input that CMD is to have, and with it the word to begin. If the
//! socket closes instead, whoever started it has died, and it ends too.

use std::{
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, ExitCode, Stdio},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::{
    exec::reexec::{LAUNCH, reexec},
    exit::code,
};

/// A process that will become the command.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) process: Child,
    go: OwnedFd,
}

impl Launch {
    /// Starts it, in a process group of its own.
    pub(crate) fn prepare(command: &[OsString], variables: &[(&str, String)]) -> io::Result<Self> {
        let (go, stdin) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let process = reexec(LAUNCH)?
            .args(command)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(stdin))
            .process_group(0)
            .spawn()?;
        Ok(Self { process, go })
    }

    /// Lets it become the command.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let stdin = io::stdin();
        let stdin = [stdin.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&stdin));
        sendmsg(&self.go, &[IoSlice::new(b"!")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Waits for the word, then becomes the command; returns only if that fails.
pub(crate) fn become_command(command: &[OsString]) -> ExitCode {
    let Some((program, args)) = command.split_first() else { return ExitCode::from(code::USAGE) };
    // The guardian does this for the group. Two are better than one, where the system offers it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    match ordered() {
        Ok(Some(stdin)) if rustix::stdio::dup2_stdin(&stdin).is_ok() => {}
        _ => return ExitCode::from(code::INTERNAL),
    }
    let error = Command::new(program).args(args).exec();
    // That there is a file of this name was found before the lock was asked for.
    let (code, next) = match error.kind() {
        io::ErrorKind::NotFound => {
            (code::NOT_FOUND, ". If the file is there, what its first line (#!) names is not")
        }
        _ => (code::NOT_EXECUTABLE, ""),
    };
    eprintln!("leasehold: {}: {error}{next}", program.display());
    ExitCode::from(code)
}

/// The standard input to use, or nothing if whoever gives the word has gone.
fn ordered() -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    loop {
        match recvmsg(io::stdin(), &mut [IoSliceMut::new(&mut word)], &mut control, flags) {
            Ok(received) if received.bytes == 0 => return Ok(None),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}
