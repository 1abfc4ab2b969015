//! Real processes that are stopped, resumed and killed.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use leasehold::{Kubernetes, Options, Sync as _};
use rustix::process::{Pid, Signal, kill_process};

use super::{Place, brief};
use crate::ADMIN;

const ROLE: &str = "LEASEHOLD_TEST_HOLDER";

/// Not a test: the holder, which the tests below start as a separate process.
///
/// Prints `held TOKEN`, then answers each line on its standard input with `held` or `lost`.
#[tokio::test]
async fn holder() {
    let Ok(namespace) = std::env::var(ROLE) else { return };
    let sync = Kubernetes::connect(Options::default().namespace(namespace)).await.unwrap();
    let guard = sync.lock("orders", brief()).await.unwrap();
    println!("\nholder: held {}", guard.token());
    for line in std::io::stdin().lines() {
        let _ = line.unwrap();
        println!("\nholder: {}", if guard.check().is_ok() { "held" } else { "lost" });
    }
}

/// A holder in a separate process, which is killed when this is dropped.
struct Holder {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    token: u64,
}

impl Holder {
    fn start(place: &Place) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::holder", "--nocapture"])
            .env(ROLE, &place.namespace)
            .env("KUBECONFIG", place.plane.kubeconfig(ADMIN))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut holder = Self { child, stdin, stdout, token: 0 };
        let line = holder.read();
        holder.token = line
            .strip_prefix("held ")
            .and_then(|token| token.parse().ok())
            .unwrap_or_else(|| panic!("{line}"));
        holder
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the holder process ended");
            if let Some(text) = line.trim().strip_prefix("holder: ") {
                return text.into();
            }
        }
    }

    fn ask(&mut self) -> String {
        writeln!(self.stdin).unwrap();
        self.read()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_process_stopped_for_longer_than_its_tenure_sees_its_loss_at_once() {
    let place = Place::new().await;
    let mut holder = Holder::start(&place);
    assert_eq!(holder.ask(), "held");

    holder.signal(Signal::STOP);
    let sync = place.handle();
    let successor = sync.lock("orders", brief()).await.unwrap();
    holder.signal(Signal::CONT);

    assert_eq!(holder.ask(), "lost", "the first check after it was resumed must fail");
    assert!(successor.token().get() > holder.token);
    successor.check().unwrap();
}

#[tokio::test]
async fn the_lock_of_a_killed_process_can_be_acquired() {
    let place = Place::new().await;
    let holder = Holder::start(&place);

    holder.signal(Signal::KILL);
    let sync = place.handle();
    let successor = sync.lock("orders", brief()).await.unwrap();

    assert!(successor.token().get() > holder.token);
}
