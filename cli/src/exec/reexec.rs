//! This program again, in another part.

use std::process::Command;

/// The first word that makes a process the guardian.
pub(crate) const GUARDIAN: &str = "__guardian";
/// The first word that makes a process wait for its orders and become CMD.
pub(crate) const LAUNCH: &str = "__launch";

/// A command that starts this very program, also if its file has been replaced since.
pub(crate) fn reexec(part: &str) -> std::io::Result<Command> {
    let program = if cfg!(any(target_os = "linux", target_os = "android")) {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe()?
    };
    let mut command = Command::new(program);
    command.arg(part);
    Ok(command)
}
