//! Measurements of whole processes: each is a `player` (`player.rs`).

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use leasehold_test_support::processes::Process;

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
pub(crate) struct Player {
    child: Child,
    lines: Receiver<String>,
}

impl Player {
    /// Starts a player with one thread and waits until it has printed its word.
    pub(crate) fn start(bench: &Bench, namespace: &str, part: &str) -> Self {
        Self::start_with("one", bench, namespace, part)
    }

    fn start_with(threads: &str, bench: &Bench, namespace: &str, part: &str) -> Self {
        let player = Self::spawn(threads, bench, namespace, part);
        assert!(player.lines.recv().is_ok(), "the player `{part}` ended early");
        player
    }

    /// Starts a player.
    pub(crate) fn spawn(threads: &str, bench: &Bench, namespace: &str, part: &str) -> Self {
        let mut child = Command::new(program())
            .args([threads, namespace, part])
            .env("KUBECONFIG", bench.plane.kubeconfig(ADMIN))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (lines, received) = mpsc::channel();
        std::thread::spawn(move || output.lines().try_for_each(|line| lines.send(line.unwrap())));
        Self { child, lines: received }
    }

    /// The lines that it has printed since the last call.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Waits for the next line.
    pub(crate) fn next_line(&self, limit: Duration) -> String {
        self.lines.recv_timeout(limit).expect("the player prints a line in time")
    }

    /// Ends its input, which makes it release what it holds.
    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    fn process(&self) -> Process {
        Process::find(self.child.id()).unwrap()
    }

    /// Returns a field of `/proc/PID/status`, in kilobytes.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let process = self.process();
        process.field(field).unwrap().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns the number of open sockets.
    pub(crate) fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(self.process().file("fd")).unwrap();
        let target = |entry: std::io::Result<std::fs::DirEntry>| entry?.path().read_link();
        descriptors
            .filter_map(|entry| target(entry).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Returns the resident memory of each mapped file, the largest first.
    fn files(&self) -> String {
        let maps = std::fs::read_to_string(self.process().file("smaps")).unwrap();
        let (mut files, mut file) = (BTreeMap::<String, u64>::new(), String::new());
        for line in maps.lines() {
            if let Some(rest) = line.strip_prefix("Rss:") {
                let kilobytes: u64 = rest.split_whitespace().next().unwrap().parse().unwrap();
                *files.entry(file.clone()).or_default() += kilobytes;
            } else if let Some(path) = line.split_whitespace().nth(5) {
                path.rsplit('/').next().unwrap_or_default().clone_into(&mut file);
            } else if line.split_whitespace().next().is_some_and(|range| range.contains('-')) {
                file.clear();
            }
        }
        // The kernel writes areas without a file like `[heap]`, or without a name.
        let is_file = |file: &str| !file.is_empty() && !file.starts_with('[');
        let mut files: Vec<_> =
            files.into_iter().filter(|(file, size)| is_file(file) && *size >= 100).collect();
        files.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let each = files.iter().map(|(file, size)| format!("{file} {}", megabytes(*size)));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Returns the processor time used, in clock ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(self.process().file("stat")).unwrap();
        let after = stat.rsplit_once(") ").unwrap().1;
        after.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

/// Measures the memory of a process that only follows, with one thread and with several.
pub(crate) async fn follower(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let _leader = Player::start(bench, &namespace, "lead billing");
    for (threads, name) in [("one", "one thread"), ("several", "several threads")] {
        let follower = Player::start_with(threads, bench, &namespace, "follow billing");
        tokio::time::sleep(Duration::from_secs(20)).await;
        let anonymous = megabytes(follower.status("RssAnon"));
        bench.row(
            &format!("resident memory of a follower, {name}"),
            megabytes(follower.status("VmRSS")),
            format!("{anonymous} of it anonymous memory, the rest files: {}", follower.files()),
        );
    }
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
        let rss = megabytes(holder.status("VmRSS"));
        let result = format!(
            "{rate:.1} requests/s, {share:.1} % of one core, {rss}; all acquired in {:.2} s",
            acquired.as_secs_f64()
        );
        bench.row(&format!("{locks} locks held by one process"), result, "");
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub(crate) fn megabytes(kilobytes: u64) -> String {
    format!("{:.1} MiB", kilobytes as f64 / 1024.0)
}
