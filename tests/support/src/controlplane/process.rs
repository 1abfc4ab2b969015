//! A server process that ends with the test process.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::files::Directory;
use crate::processes;

/// Starts the server "$2..." with its output in the file $1, and prints its process id. Kills the server when the
/// standard input ends. Ends itself when the server has ended.
const GUARDIAN: &str = r#"
log=$1; shift
"$@" </dev/null >>"$log" 2>&1 &
server=$!
exec 3<&0
echo "$server"
( read -r _ <&3; kill -KILL "$server" ) &
watch=$!
wait "$server"
kill "$watch"
"#;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    guardian: Child,
    life: Option<ChildStdin>,
    pid: Pid,
}

impl Process {
    pub(super) fn spawn(command: &[String], log: &Path, directory: &Directory) -> Self {
        let mut guardian = Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "leasehold-guardian"])
            .arg(log)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(directory.hold())
            .process_group(0) // so that Ctrl-C does not reach it
            .spawn()
            .expect("/bin/sh runs");
        let life = guardian.stdin.take();
        let mut output = String::new();
        let stdout = guardian.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut output).expect("the guardian prints a line");
        let pid = output.trim().parse().ok().and_then(Pid::from_raw);
        Self { guardian, life, pid: pid.expect("a process id") }
    }

    /// Whether the server has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.guardian.try_wait().expect("our child").is_some()
    }

    /// The id of the server, not of its guardian.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal to the server. After SIGSTOP, waits until it has stopped.
    pub(super) fn signal(&mut self, signal: Signal) {
        assert!(!self.has_ended(), "the server has ended");
        kill_process(self.pid, signal).expect("the signal is sent");
        while signal == Signal::STOP && !self.has_stopped() {
            std::thread::yield_now();
        }
    }

    /// Whether all threads have stopped. True on systems without `/proc`.
    fn has_stopped(&self) -> bool {
        let process = processes::Process::find(self.pid.as_raw_nonzero());
        let tasks = process.and_then(|process| std::fs::read_dir(process.file("task")).ok());
        let Some(tasks) = tasks else { return true };
        tasks.flatten().all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // The state follows the name in parentheses, which may contain parentheses.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.life = None;
        let _ = self.guardian.wait();
    }
}
