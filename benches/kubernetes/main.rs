//! Measures latencies, requests, memory and fail-overs on a real API server: `make bench`.
//!
//! Each latency is measured in turns with its floor, because machines differ and their speed varies during a run.
//! Requests are counted exactly, from the audit log of the server.

#![expect(clippy::print_stdout, reason = "a benchmark prints a table")]
#![expect(clippy::unwrap_used, reason = "a panic names the line of the measurement that failed")]

mod command;
mod counts;
mod failover;
mod latency;
mod process;

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Run on a worker thread, as the tasks of the library do, because waking the main thread takes longer.
    let run = runtime.spawn(async {
        // Cargo passes `--bench`. An argument without a dash is the one part to run.
        let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
        let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
        println!("starting etcd and kube-apiserver ...");
        let mut bench = Bench { plane: ControlPlane::start().await, rows: Vec::new() };
        println!("| measurement | result | for comparison |\n|---|---|---|");
        if wanted("latency") {
            latency::pair(&mut bench).await;
            latency::hand_over(&mut bench).await;
        }
        if wanted("process") {
            process::start(&mut bench).await;
            process::follower(&mut bench).await;
            process::many(&mut bench).await;
        }
        if wanted("command") {
            command::lock(&mut bench).await;
        }
        if wanted("failover") {
            failover::graceful(&mut bench).await;
            failover::crash(&mut bench).await;
            failover::stampede(&mut bench).await;
        }
        if wanted("counts") {
            counts::steady(&mut bench).await;
        }
    });
    runtime.block_on(run).unwrap();
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
