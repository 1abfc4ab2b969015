//! The program kubectl: what a person would type.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::release::{NAME, Release};

/// kubectl, in a release's namespace; it ends when it is dropped.
pub(crate) fn kubectl(release: &Release, words: &[&str]) -> Command {
    let said = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into());
    let mut program = said.split_whitespace();
    let mut command = Command::new(program.next().expect("KUBECTL names a command"));
    command
        .args(program)
        .args(["--namespace", &release.namespace])
        .args(words)
        // Nothing of this user's, and nothing for this user.
        .env("KUBECACHEDIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/kubectl"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What the chart's notes say to begin: a port of this machine that leads to the Service's pod, until this is dropped.
pub(crate) struct Forward {
    pub(crate) url: String,
    _child: Child,
    /// Where it says each connection: it would end if nobody could read that.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Forward {
    pub(crate) async fn start(release: &Release) -> Self {
        let service = format!("service/{NAME}");
        let mut command = kubectl(release, &["port-forward", &service, ":80"]);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl, as $KUBECTL or in the path: tests/cluster/README.md");
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = said.next_line().await.unwrap().expect("kubectl says what it forwards");
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let url = format!("http://{}/", address.unwrap_or_else(|| panic!("{line}")));
        Self { url, _child: child, _said: said }
    }
}

/// `kubectl drain` of one node, of the pods that a selector chooses; the node takes pods again when this is dropped.
pub(crate) struct Drain {
    draining: Child,
    uncordon: Command,
}

impl Drain {
    pub(crate) fn start(release: &Release, node: &str, selector: &str) -> Self {
        let choice = format!("--pod-selector={selector}");
        let mut drain = kubectl(release, &["drain", node, &choice, "--timeout=2m"]);
        let draining = drain.spawn().expect("kubectl, as $KUBECTL or in the path");
        Self { draining, uncordon: kubectl(release, &["uncordon", node]) }
    }

    /// Lets the node take pods again; what the drain has begun goes on.
    pub(crate) async fn uncordon(&mut self) {
        assert!(self.uncordon.status().await.unwrap().success());
    }

    /// Waits until every pod that it chose has gone.
    pub(crate) async fn end(mut self) {
        assert!(self.draining.wait().await.unwrap().success(), "the drain is done");
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        // Whatever failed: on one node nothing could run any more. Doing it again does nothing.
        let _ = self.uncordon.as_std_mut().status();
    }
}
