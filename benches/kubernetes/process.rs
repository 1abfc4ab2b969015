//! Measurements of whole processes: each is a `player` (`player.rs`).

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{ADMIN, Bench, millis, quantile, timed};

const STARTS: usize = 30;

/// The path of the player, an example, which Cargo builds into the directory next to that of this benchmark.
fn program() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let program = built.parent().unwrap().parent().unwrap().join("examples/player");
    assert!(
        program.exists(),
        "build it first: cargo build --release --package leasehold --example player (`make bench` does)"
    );
    program
}

/// A running player. It is killed with SIGKILL when it is dropped.
pub(crate) struct Player(Child);

impl Player {
    /// Starts a player and waits until it has printed its word.
    pub(crate) fn start(bench: &Bench, namespace: &str, part: &str) -> Self {
        let mut child = Command::new(program())
            .args([namespace, part])
            .env("KUBECONFIG", bench.plane.kubeconfig(ADMIN))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the player `{part}` ended early");
        Self(child)
    }

    /// Returns a field of `/proc/PID/status`, in kilobytes.
    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Returns the processor time used, in clock ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let after = stat.rsplit_once(") ").unwrap().1;
        after.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures the time from the start of a process to its first lead, on a Lease that does not exist yet.
pub(crate) async fn start(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let mut times = Vec::new();
    for number in 0..STARTS {
        let (time, player) =
            timed(async { Player::start(bench, &namespace, &format!("lead fresh-{number}")) })
                .await;
        times.push(time);
        drop(player);
    }
    let result = format!(
        "p50 {}, p99 {}",
        millis(quantile(&mut times, 0.5)),
        millis(quantile(&mut times, 0.99))
    );
    bench.row("process start to first leadership, fresh Lease", result, "");
}

/// Measures the memory of a process that only follows.
pub(crate) async fn follower(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let _leader = Player::start(bench, &namespace, "lead billing");
    let follower = Player::start(bench, &namespace, "follow billing");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let anonymous = megabytes(follower.status("RssAnon:"));
    bench.row(
        "resident memory of a follower",
        megabytes(follower.status("VmRSS:")),
        format!("{anonymous} of it anonymous memory, the rest the program file"),
    );
}

/// Measures the requests, processor time and memory of one process that holds many locks.
pub(crate) async fn many(bench: &mut Bench) {
    for locks in [100_u64, 1000] {
        let namespace = bench.plane.namespace().await;
        let (acquired, holder) =
            timed(async { Player::start(bench, &namespace, &format!("hold {locks}")) }).await;
        // Let the start pass, so that only renewals are measured.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let count =
            || bench.plane.audit_of(|request| request.namespace == namespace).values().sum::<u64>();
        let (before, ticks) = (count(), holder.ticks());
        tokio::time::sleep(Duration::from_secs(30)).await;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (rate, share) =
            ((count() - before) as f64 / 30.0, (holder.ticks() - ticks) as f64 / 30.0);
        let rss = megabytes(holder.status("VmRSS:"));
        let result = format!(
            "{rate:.1} requests/s, {share:.1} % of one core, {rss}; all acquired in {:.2} s",
            acquired.as_secs_f64()
        );
        bench.row(&format!("{locks} locks held by one process"), result, "");
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MiB", kilobytes as f64 / 1024.0)
}
