//! Measures latencies, requests, memory and fail-overs on a real API server: `make bench`.
//!
//! Each latency is measured in turns with its floor, because machines differ and their speed varies during a run.
//! Requests are counted exactly, from the audit log of the server.

#![expect(clippy::print_stdout, reason = "a benchmark prints a table")]
#![expect(clippy::unwrap_used, reason = "a panic names the line of the measurement that failed")]

mod capacity;
mod command;
mod counts;
mod etcd;
mod failover;
mod latency;
mod lock_set;
mod many;
mod peers;
mod process;
mod sessions;

use std::time::{Duration, Instant};

use leasehold::{Kubernetes, Options};
use leasehold_test_support::{ADMIN, ControlPlane};

/// The control plane that is measured, and the rows of the table so far.
struct Bench {
    plane: ControlPlane,
    rows: Vec<[String; 3]>,
}

impl Bench {
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Cargo passes `--bench`. An argument without a dash is the one part to run.
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    println!("starting etcd and kube-apiserver ...");
    let plane = runtime.block_on(ControlPlane::start());
    let mut bench = Bench { plane, rows: Vec::new() };
    println!("| measurement | result | for comparison |\n|---|---|---|");
    if only.as_deref().is_none_or(|only| only == "pair") {
        latency::pairs(&mut bench);
    }
    // Twenty minutes, so only on request. It measures no latency, so it may run on the main thread.
    if only.as_deref() == Some("capacity") {
        return runtime.block_on(capacity::all(&mut bench));
    }
    // Run on a worker thread, as the tasks of the library do, because waking the main thread takes longer.
    runtime.block_on(runtime.spawn(measure(bench, only))).unwrap();
}

/// Measures everything that does not choose its own runtime.
async fn measure(mut bench: Bench, only: Option<String>) {
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let bench = &mut bench;
    if wanted("managers") {
        latency::managers(bench).await;
    }
    if wanted("latency") {
        latency::hand_over(bench).await;
    }
    if wanted("process") {
        process::start(bench).await;
        process::follower(bench).await;
        process::many(bench).await;
    }
    if wanted("held") {
        many::held(bench).await;
    }
    if wanted("waited") {
        many::waited(bench).await;
    }
    if wanted("names") {
        many::names(bench).await;
    }
    if wanted("sessions") {
        sessions::contended(bench).await;
    }
    if wanted("session-locks") {
        sessions::many(bench).await;
        many::sessions(bench).await;
    }
    if only.as_deref() == Some("session-processes") {
        many::sessions(bench).await;
    }
    if wanted("peers") {
        peers::all(bench).await;
    }
    if wanted("etcd") {
        etcd::all(bench).await;
    }
    if wanted("lock-set") {
        lock_set::all(bench).await;
    }
    if wanted("command") {
        command::lock(bench).await;
    }
    if wanted("failover") {
        failover::graceful(bench).await;
        failover::crash(bench).await;
        failover::stampede(bench).await;
    }
    if wanted("counts") {
        counts::steady(bench).await;
    }
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
