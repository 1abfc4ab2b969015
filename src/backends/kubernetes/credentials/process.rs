//! The process of a credential plugin.

use std::{io, process::Stdio};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
};

/// The maximum output. A credential is a few KiB.
const MAX_OUTPUT: u64 = 1 << 20;
/// How much of the standard error of a failed plugin is reported, in characters.
const REPORTED: usize = 300;

/// One run of a plugin.
pub(super) struct Run<'a> {
    pub(super) command: &'a str,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) without: Vec<String>,
    /// Whether the plugin gets the terminal. Its standard input is empty otherwise, because the input of this process
    /// belongs to this process.
    pub(super) interactive: bool,
    /// Whether it is the leader of a new process group. At a terminal it is not, so that Ctrl-C ends it too.
    pub(super) leads: bool,
}

/// Runs a plugin and returns what it printed. If the future is dropped, the plugin is killed, and with it the process
/// group that it leads.
pub(super) async fn run(run: Run<'_>) -> Result<Vec<u8>, String> {
    let mut command = Command::new(run.command);
    command.args(run.args).envs(run.env).stdout(Stdio::piped()).kill_on_drop(true);
    for name in run.without {
        command.env_remove(name);
    }
    if run.interactive {
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    } else {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
    }
    #[cfg(unix)]
    if run.leads {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let group = Group::of(&child, run.leads);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (output, errors, ended) = tokio::join!(read(stdout), read(stderr), child.wait());
    group.ended();
    // A process that reaps all children takes the status. The output then decides.
    if let Ok(status) = ended
        && !status.success()
    {
        let said = printable(&errors.unwrap_or_default());
        let colon = if said.is_empty() { "" } else { ": " };
        return Err(format!("has failed with {status}{colon}{said}"));
    }
    output.map_err(|error| format!("cannot be read: {error}"))
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The end of a text in one line, without control characters.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = line.chars().count().saturating_sub(REPORTED);
    line.chars().skip(skipped).filter(|c| !c.is_control()).collect()
}

/// Whether standard input is a terminal on which this process may read.
#[cfg(unix)]
pub(super) fn has_terminal() -> bool {
    let foreground = rustix::termios::tcgetpgrp(io::stdin());
    // 0, which is no group, if that of this process is in another PID namespace.
    let own = nix::unistd::getpgrp().as_raw();
    foreground.is_ok_and(|group| group.as_raw_nonzero().get() == own)
}

#[cfg(not(unix))]
pub(super) fn has_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}

/// The process group of a plugin. It is killed if this is dropped before the plugin has ended.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child, leads: bool) -> Self {
        let pid = child.id().filter(|_| leads).and_then(|id| i32::try_from(id).ok());
        Self { leader: pid.and_then(rustix::process::Pid::from_raw) }
    }

    #[cfg(not(unix))]
    fn of(_: &Child, _: bool) -> Self {
        Self {}
    }

    #[cfg_attr(not(unix), expect(clippy::unused_self, reason = "there are groups on Unix only"))]
    fn ended(mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // An error means that the group has ended.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}
