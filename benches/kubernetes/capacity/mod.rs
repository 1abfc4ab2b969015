//! What a fleet of processes costs the API server and etcd: the coefficients of `docs/capacity.md`.
//!
//! | file | measures |
//! |---|---|
//! | [`costs`] | the processor time of one request, one listed Lease, one watch and one event |
//! | [`joins`] | the requests, processor time and bytes of claims that join a queue, and of their events |
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
mod joins;
mod meter;
mod steady;

use std::time::Duration;

use self::{
    costs::Costs,
    meter::{Servers, Time},
};
use super::Bench;

/// How long the servers are measured without a client.
const IDLE: Duration = Duration::from_secs(30);

/// How long each steady state is measured. The figures of the documentation are those of 120 s, the length of a watch of
/// a session.
fn window() -> Duration {
    let seconds = std::env::var("LEASEHOLD_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(120))
}

/// Measures all parts of `capacity`, or the one that was asked for by its name, such as `capacity-costs`. Only if all are
/// measured, the processor time of fleets is compared with the one that follows from the costs of requests.
///
/// Returns false if none of them was asked for.
pub(crate) async fn all(bench: &mut Bench) -> bool {
    let (everything, mut any, mut costs) = (bench.only("capacity"), false, None);
    for part in Part::ALL {
        if everything || bench.only(part.name()) {
            bench.begin(part.name());
            part.measure(bench, &mut costs).await;
            any = true;
        }
    }
    any
}

/// What is measured in one go, in five minutes at most.
#[derive(Clone, Copy)]
enum Part {
    Costs,
    Joins,
    Sessions,
    Elections,
    Changes,
    Counts,
    ManyCounts,
}

impl Part {
    const ALL: [Self; 7] = [
        Self::Costs,
        Self::Joins,
        Self::Sessions,
        Self::Elections,
        Self::Changes,
        Self::Counts,
        Self::ManyCounts,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Costs => "capacity-costs",
            Self::Joins => "capacity-joins",
            Self::Sessions => "capacity-sessions",
            Self::Elections => "capacity-elections",
            Self::Changes => "capacity-changes",
            Self::Counts => "capacity-counts",
            Self::ManyCounts => "capacity-many-counts",
        }
    }

    async fn measure(self, bench: &mut Bench, costs: &mut Option<Costs>) {
        let idle = match self {
            Self::Changes | Self::Counts | Self::ManyCounts => Time::default(),
            _ => idle(bench).await,
        };
        match self {
            Self::Costs => *costs = Some(costs::all(bench, idle).await),
            Self::Joins => joins::all(bench, idle).await,
            Self::Sessions => steady::sessions(bench, idle, costs.as_ref()).await,
            Self::Elections => steady::elections(bench, idle, costs.as_ref()).await,
            Self::Changes => changes::all(bench).await,
            Self::Counts => steady::counts(bench, steady::SIZES[0]).await,
            Self::ManyCounts => steady::counts(bench, steady::SIZES[1]).await,
        }
    }
}

/// What the servers use when no client is connected.
async fn idle(bench: &mut Bench) -> Time {
    let before = Servers::now(bench);
    tokio::time::sleep(IDLE).await;
    let idle = Servers::now(bench).since(&before);
    let [apiserver, etcd] = [bench.plane.apiserver_use(), bench.plane.etcd_use()];
    bench.row(
        "without a client: kube-apiserver, etcd",
        format!("{:.1} %, {:.1} % of a core", idle.apiserver * 100.0, idle.etcd * 100.0),
        format!("{} threads, {} threads", apiserver.threads, etcd.threads),
    );
    idle
}
