//! The program kubectl, as a person uses it.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::release::{NAME, Release};

/// A kubectl command in the namespace of a release. Dropping its process kills it.
pub(crate) fn kubectl(release: &Release, words: &[&str]) -> Command {
    let command = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into());
    let mut program = command.split_whitespace();
    let mut command = Command::new(program.next().expect("KUBECTL names a command"));
    command
        .args(program)
        .args(["--namespace", &release.namespace])
        .args(words)
        // Keep the cache of this user out of the tests.
        .env("KUBECACHEDIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/kubectl"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The port-forward from the notes of the chart: a local port to the pod of the Service, until this is dropped.
pub(crate) struct Forward {
    pub(crate) url: String,
    _child: Child,
    /// The standard output, kept open because kubectl ends when it cannot write.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Forward {
    pub(crate) async fn start(release: &Release) -> Self {
        let service = format!("service/{NAME}");
        let mut command = kubectl(release, &["port-forward", &service, ":80"]);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl, as $KUBECTL or in the path: tests/cluster/README.md");
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = output.next_line().await.unwrap().expect("kubectl prints the address");
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let url = format!("http://{}/", address.unwrap_or_else(|| panic!("{line}")));
        Self { url, _child: child, _output: output }
    }
}

/// `kubectl drain` of the pods with a label on one node. Dropping it makes the node schedulable again.
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

    /// Makes the node schedulable again. The drain continues.
    pub(crate) async fn uncordon(&mut self) {
        assert!(self.uncordon.status().await.unwrap().success());
    }

    /// Waits until every selected pod has gone.
    pub(crate) async fn end(mut self) {
        assert!(self.draining.wait().await.unwrap().success(), "the drain succeeds");
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        // Also after a failure, because the only node must accept pods. A second uncordon has no effect.
        let _ = self.uncordon.as_std_mut().status();
    }
}
