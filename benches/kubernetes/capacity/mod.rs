//! What a fleet of processes costs the API server and etcd: the coefficients of `docs/capacity.md`.
//!
//! | file | measures |
//! |---|---|
//! | [`costs`] | the processor time of one request, one listed Lease, one watch and one event |
//! | [`steady`] | the requests of processes, locks, waiters and candidates, by verb; the processor time of whole fleets |
//! | [`changes`] | the requests of an acquire and release, a hand-over, a fail-over and a crash |
//! | [`fleet`] | the processes, simulated by handles with clients of their own |
//! | [`meter`] | requests, processor time and seats in a period |
//!
//! The audit log counts requests exactly. Processor time is that of the servers' processes, without what they use when
//! no client is connected, so it depends less on other programs of this machine than wall time does.

mod changes;
mod costs;
mod fleet;
mod meter;
mod steady;

use std::time::Duration;

use self::meter::Servers;
use super::Bench;

/// How long the servers are measured without a client.
const IDLE: Duration = Duration::from_secs(30);

/// How long each steady state is measured. The figures of the documentation are those of 120 s, the length of a watch of
/// a session.
fn window() -> Duration {
    let seconds = std::env::var("LEASEHOLD_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(120))
}

/// Measures all coefficients.
pub(crate) async fn all(bench: &mut Bench) {
    let (threads, load) = (tokio::runtime::Handle::current().metrics().num_workers(), load());
    let before = Servers::now(bench);
    tokio::time::sleep(IDLE).await;
    let idle = Servers::now(bench).since(&before);
    let [apiserver, etcd] = [bench.plane.apiserver_use(), bench.plane.etcd_use()];
    bench.row(
        "without a client: kube-apiserver, etcd",
        format!("{:.1} %, {:.1} % of a core", idle.apiserver * 100.0, idle.etcd * 100.0),
        format!(
            "{} threads, {} threads; {threads} threads of the runtime of this benchmark; load of the machine {load}",
            apiserver.threads, etcd.threads
        ),
    );
    let costs = costs::all(bench, idle).await;
    steady::fleets(bench, idle, &costs).await;
    changes::all(bench).await;
    steady::counts(bench).await;
}

/// The load of the machine in the last minute, five minutes and fifteen minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
