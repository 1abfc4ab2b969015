//! What it costs, on a real API server: `make bench`.
//!
//! Every figure is measured in the run that prints it. Latencies stand beside a floor measured in turns with
//! them, since machines differ and drift; requests are counted by the server, exactly, from its audit log.

#![expect(clippy::print_stdout, reason = "prints its table")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails should say where")]

mod command;
mod counts;
mod failover;
mod latency;
mod process;

use std::time::{Duration, Instant};

use leasehold::{Kubernetes, Options};
use leasehold_test_support::{ADMIN, ControlPlane};

/// Where the figures come from and go to.
struct Bench {
    plane: ControlPlane,
    rows: Vec<[String; 3]>,
}

impl Bench {
    /// One row: what, what was measured, and what it is to be compared with.
    fn row(&mut self, what: &str, figure: impl Into<String>, floor: impl Into<String>) {
        let row = [what.into(), figure.into(), floor.into()];
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
    // On a worker, as the library's own tasks are: the main thread is woken at a higher price.
    let run = runtime.spawn(async {
        // Cargo passes `--bench`; a name runs that part alone.
        let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
        let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
        println!("starting etcd and kube-apiserver ...");
        let mut bench = Bench { plane: ControlPlane::start().await, rows: Vec::new() };
        println!("| what | measured | beside |\n|---|---|---|");
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

/// The value below which the share `part` of `times` lies.
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
