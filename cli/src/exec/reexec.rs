//! This program, started again in another role.

use std::process::Command;

/// The first argument of a process that is the guardian.
pub(crate) const GUARDIAN: &str = "__guardian";
/// The first argument of a process that waits for an order and becomes CMD.
pub(crate) const LAUNCH: &str = "__launch";

/// A command that starts the same program, even if its file has been replaced.
pub(crate) fn reexec(role: &str) -> std::io::Result<Command> {
    let program = if cfg!(any(target_os = "linux", target_os = "android")) {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe()?
    };
    let mut command = Command::new(program);
    command.arg(role);
    Ok(command)
}
