//! Measures latencies, requests, memory and fail-overs on a real API server: `make bench`.
//!
//! Each latency is measured in turns with its floor, because machines differ and their speed varies during a run.
//! Requests are counted exactly, from the audit log of the server.

#![expect(clippy::print_stdout, reason = "a benchmark prints a table")]
#![expect(clippy::unwrap_used, reason = "a panic names the line of the measurement that failed")]

mod acquire;
mod capacity;
mod child;
mod command;
mod counts;
mod crash;
mod etcd;
mod failover;
mod floor;
mod hand_over;
mod latency;
mod lock_set;
mod many;
mod peers;
mod process;
mod sessions;
mod start;
mod succession;
mod waits;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use leasehold::{Kubernetes, Options};
use leasehold_test_support::{ADMIN, ControlPlane};
use tokio::runtime::{Builder, Runtime};

/// Numbers of requests by verb.
type Counts = BTreeMap<String, u64>;

/// The control plane that is measured, and the rows of the table so far.
struct Bench {
    plane: ControlPlane,
    rows: Vec<[String; 3]>,
    /// The one part to run.
    only: Option<String>,
    /// How many threads the runtime of this benchmark has.
    threads: usize,
}

impl Bench {
    fn start(runtime: &Runtime, only: Option<String>) -> Self {
        println!("starting etcd and kube-apiserver ...");
        let plane = runtime.block_on(ControlPlane::start());
        println!("| measurement | result | for comparison |\n|---|---|---|");
        Self { plane, rows: Vec::new(), only, threads: runtime.metrics().num_workers() }
    }

    /// Whether this part was asked for, or all parts were. If so, it begins.
    fn begins(&mut self, part: &str) -> bool {
        let begins = self.only.is_none() || self.only(part);
        if begins {
            self.begin(part);
        }
        begins
    }

    /// Whether this part was asked for by its name.
    fn only(&self, part: &str) -> bool {
        self.only.as_deref() == Some(part)
    }

    /// Prints what else the machine does: figures mean little without that.
    fn begin(&mut self, part: &str) {
        let comparison = format!("{} threads of the runtime of this benchmark", self.threads);
        self.row(&format!("load of the machine before `{part}`"), load(), comparison);
    }

    /// Prints one row of the table.
    fn row(&mut self, measurement: &str, result: impl Into<String>, comparison: impl Into<String>) {
        let row = [measurement.into(), result.into(), comparison.into()];
        println!("| {} |", row.join(" | "));
        self.rows.push(row);
    }

    fn handle(&self, namespace: &str) -> Kubernetes {
        Kubernetes::from_config(self.plane.config(ADMIN), Options::default().namespace(namespace))
            .unwrap()
    }
}

fn main() {
    if let Ok(orders) = std::env::var(lock_set::ORDERS) {
        return lock_set::work(&orders);
    }
    // Cargo passes `--bench`. An argument without a dash is the one part to run.
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [etcd::held::HOLD, address, count] =
        &words.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        return etcd::held::hold(address, count);
    }
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let mut bench = Bench::start(&runtime, words.into_iter().next());
    if bench.begins("pair") {
        latency::pairs(&mut bench);
    }
    // Half an hour, so only on request. It measures no latency, so it may run on the main thread.
    if runtime.block_on(capacity::all(&mut bench)) {
        return;
    }
    // Run on a worker thread, as the tasks of the library do, because waking the main thread takes longer.
    runtime.block_on(runtime.spawn(measure(bench))).unwrap();
}

/// Measures everything that does not choose its own runtime.
async fn measure(mut bench: Bench) {
    let bench = &mut bench;
    latencies(bench).await;
    many(bench).await;
    sessions(bench).await;
    if bench.begins("peers") {
        peers::all(bench).await;
    }
    if bench.begins("etcd-pair") {
        etcd::pair(bench).await;
    }
    if bench.begins("etcd") {
        etcd::locks(bench).await;
    }
    if bench.begins("lock-set") {
        lock_set::all(bench).await;
    }
    if bench.begins("etcd-elections") {
        etcd::elections(bench).await;
    }
    if bench.begins("etcd-held") {
        etcd::held(bench).await;
    }
    if bench.begins("failover") {
        failover::graceful(bench).await;
        failover::crash(bench).await;
        failover::stampede(bench).await;
    }
    if bench.begins("counts") {
        counts::steady(bench).await;
    }
}

/// Single steps, and whole processes.
async fn latencies(bench: &mut Bench) {
    if bench.begins("managers") {
        latency::managers(bench).await;
    }
    if bench.begins("latency") {
        latency::hand_over(bench).await;
    }
    if bench.begins("process") {
        process::start(bench).await;
        process::follower(bench).await;
        process::many(bench).await;
    }
    if bench.begins("start") {
        start::first_lock(bench).await;
    }
    if bench.begins("command") {
        command::lock(bench).await;
    }
}

/// Thousands of locks without a session.
async fn many(bench: &mut Bench) {
    if bench.begins("held") {
        many::held(bench).await;
    }
    if bench.begins("waited") {
        many::waited(bench).await;
    }
    if bench.begins("names") {
        many::names(bench).await;
    }
}

async fn sessions(bench: &mut Bench) {
    if bench.begins("sessions") {
        sessions::contended(bench).await;
    }
    if bench.begins("hand-over") {
        hand_over::all(bench).await;
    }
    if bench.begins("succession") {
        succession::all(bench).await;
    }
    if bench.begins("crash") {
        crash::all(bench).await;
    }
    if bench.begins("acquire") {
        acquire::locks(bench).await;
    }
    if bench.begins("waits") {
        waits::granted(bench).await;
    }
    if bench.begins("session-processes") {
        many::sessions(bench).await;
    }
}

/// The load of the machine in the last minute, five minutes and fifteen minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Lists the counts of all verbs.
fn by_verb(counts: &Counts) -> String {
    let parts: Vec<_> = counts.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Returns the quantile `part` of `times`: 0.5 is the median, 1.0 the longest.
fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small index"
    )]
    let at = ((times.len() - 1) as f64 * part).round() as usize;
    times[at]
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    let started = Instant::now();
    let out = work.await;
    (started.elapsed(), out)
}
