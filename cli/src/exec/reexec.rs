//! This program, started again in another role.

use std::process::Command;

/// The first argument of a process that is the guardian.
pub(crate) const GUARDIAN: &str = "__guardian";
/// The first argument of a process that waits for an order and becomes CMD.
pub(crate) const LAUNCH: &str = "__launch";
/// The same with `-q`: a CMD that cannot be executed is not reported.
pub(crate) const QUIET_LAUNCH: &str = "__launch-quiet";

/// A variable with a secret. Only the first process of this program may have it, and never CMD.
pub(crate) const PASSWORD: &str = "LEASEHOLD_ETCD_PASSWORD";

/// A command that starts the same program, even if its file has been replaced.
pub(crate) fn reexec(role: &str) -> std::io::Result<Command> {
    let program = if cfg!(any(target_os = "linux", target_os = "android")) {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe()?
    };
    let mut command = Command::new(program);
    command.arg(role).env_remove(PASSWORD);
    Ok(command)
}
