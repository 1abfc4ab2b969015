//! The program as a process that ends with the test.

use std::{fs, path::Path, process::Stdio, time::Duration};

use leasehold_test_support::processes::{self, Process};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Time limit, so that a test fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// The program with its arguments and environment.
pub(crate) struct Program(Command);

/// The result of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        Self::at(env!("CARGO_BIN_EXE_leasehold").as_ref(), args)
    }

    /// The program at `path`.
    pub(crate) fn at<'a>(path: &Path, args: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("LEASEHOLD_")) {
                command.env_remove(name);
            }
        }
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The guardian then kills the command.
        command.kill_on_drop(true);
        Self(command)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it as the last argument of another program, given as words.
    pub(crate) fn under(self, program: &str) -> Self {
        let old = self.0.as_std();
        let mut words = program.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(old.get_program()).args(old.get_args());
        for (name, value) in old.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self(command)
    }

    /// With a pipe as its standard input.
    pub(crate) fn piped(mut self) -> Self {
        self.0.stdin(Stdio::piped());
        self
    }

    /// The process, for a test that starts it with other files.
    pub(crate) fn into_command(self) -> Command {
        self.0
    }

    /// Runs it to its end.
    pub(crate) async fn end(self) -> Ended {
        self.start().end().await
    }

    /// Runs it to its end with this standard input.
    pub(crate) async fn fed(self, input: &[u8]) -> Ended {
        let mut running = self.piped().start();
        let mut stdin = running.stdin.take().unwrap();
        let (fed, ended) = tokio::join!(
            async move {
                stdin.write_all(input).await?;
                stdin.shutdown().await
            },
            running.end()
        );
        fed.unwrap();
        ended
    }

    pub(crate) fn start(mut self) -> Running {
        let mut process = self.0.spawn().unwrap();
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let stderr = BufReader::new(process.stderr.take().unwrap());
        Running { process, stdin, stdout, stderr }
    }
}

/// A running program. Dropping it kills the program and its command.
pub(crate) struct Running {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// The next line of its standard output.
    pub(crate) async fn line(&mut self) -> String {
        line_of(&mut self.stdout).await
    }

    /// The next line of its standard error.
    pub(crate) async fn stderr_line(&mut self) -> String {
        line_of(&mut self.stderr).await
    }

    /// Writes to its standard input.
    pub(crate) async fn write_line(&mut self, text: &str) {
        self.stdin.as_mut().expect("piped").write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads its standard output until all processes have closed it.
    pub(crate) async fn closed(&mut self) -> String {
        let mut rest = String::new();
        timeout(LIMIT, self.stdout.read_to_string(&mut rest))
            .await
            .expect("the output closes")
            .unwrap();
        rest
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().expect("running").cast_signed()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The exit code of the program itself, although other processes may still have its pipes.
    pub(crate) async fn code(&mut self) -> Option<i32> {
        timeout(LIMIT, self.process.wait()).await.expect("the process ends").unwrap().code()
    }

    /// The exit code of the program itself if it ends in this time.
    pub(crate) async fn ended_within(&mut self, time: Duration) -> Option<Option<i32>> {
        timeout(time, self.process.wait()).await.ok().map(|status| status.unwrap().code())
    }

    pub(crate) async fn end(mut self) -> Ended {
        let (mut out, mut err) = (Vec::new(), String::new());
        let (status, _, _) = timeout(LIMIT, async {
            tokio::join!(
                self.process.wait(),
                self.stdout.read_to_end(&mut out),
                self.stderr.read_to_string(&mut err)
            )
        })
        .await
        .expect("the process ends");
        Ended { code: status.unwrap().code(), stdout: out, stderr: err }
    }
}

async fn line_of(output: &mut (impl AsyncBufRead + Unpin)) -> String {
    let mut line = String::new();
    let read = timeout(LIMIT, output.read_line(&mut line)).await.expect("a line").unwrap();
    assert_ne!(read, 0, "the output is closed");
    line.trim_end().to_owned()
}

impl Ended {
    /// The standard output as text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    /// The only line of its standard error.
    #[track_caller]
    pub(crate) fn stderr_line(&self) -> &str {
        let lines: Vec<_> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{}", self.stderr);
        lines[0]
    }
}

/// Whether the process runs. A zombie does not.
pub(crate) fn runs(pid: &str) -> bool {
    Process::find(pid).is_some_and(|process| process.runs())
}

/// The state of the process, as the kernel abbreviates it.
pub(crate) fn state(pid: &str) -> Option<char> {
    Process::find(pid).map(|process| process.state())
}

/// The running processes of the program whose environment names `namespace`.
pub(crate) fn left_behind(namespace: &str) -> Vec<String> {
    let wanted = format!("LEASEHOLD_NAMESPACE={namespace}");
    let is_of_program = |process: &Process| {
        let environment = fs::read(process.file("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let running = processes::all().into_iter().filter(Process::runs);
    running.filter(is_of_program).map(|process| format!("{process:?}")).collect()
}
