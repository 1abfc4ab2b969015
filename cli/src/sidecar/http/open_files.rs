//! The number of files that this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit for a process with a command. The command inherits the limit, and programs that use `select` fail
/// with descriptors above it.
const WITH_COMMAND: u64 = 1024;

/// Raises the soft limit to the hard one, or to [`WITH_COMMAND`] if the process runs a command. Returns the limit.
pub(crate) fn raise(runs_command: bool) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` means: no limit.
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let wanted = if runs_command { hard.min(WITH_COMMAND) } else { hard };
    if soft >= wanted {
        return soft;
    }
    let raised = Rlimit { current: (wanted != u64::MAX).then_some(wanted), maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { wanted } else { soft }
}
