//! What fleets cost while nothing changes.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::{
    super::Bench,
    costs::{Costs, number},
    fleet::{Fleet, Mode},
    meter::{Meter, Period, Time},
    window,
};

/// Until each process has read what it reads first, and its watches have begun.
const SETTLE: Duration = Duration::from_secs(20);
/// The sizes: processes, locks or waits.
pub(super) const SIZES: [usize; 2] = [50, 500];
/// The elections with three candidates, each of another process: 51 and 501 processes.
const ELECTIONS: [usize; 2] = [17, 167];

/// Measures requests, processor time and seats of fleets of sessions without locks, one after the other, and compares the
/// processor time with the one that `costs` predict.
pub(super) async fn sessions(bench: &mut Bench, idle: Time, costs: Option<&Costs>) {
    for (processes, namespaces) in [(SIZES[0], 1), (SIZES[1], 1), (SIZES[1], 10)] {
        let name = format!("{processes} sessions without locks in {namespaces} namespaces");
        let memory = bench.plane.live_memory().await;
        let fleet = Fleet::idle(bench, Mode::Session, namespaces, processes).await;
        fleet_row(bench, &name, fleet, idle, costs, processes, memory).await;
    }
}

/// The same of fleets of candidates.
pub(super) async fn elections(bench: &mut Bench, idle: Time, costs: Option<&Costs>) {
    for mode in Mode::ALL {
        for elections in ELECTIONS {
            let name = format!("{elections} elections of 3 {}", mode.processes());
            let memory = bench.plane.live_memory().await;
            let fleet = Fleet::elections(bench, mode, elections).await;
            fleet_row(bench, &name, fleet, idle, costs, elections, memory).await;
        }
    }
}

async fn fleet_row(
    bench: &mut Bench,
    name: &str,
    mut fleet: Fleet,
    idle: Time,
    costs: Option<&Costs>,
    units: usize,
    memory: f64,
) {
    sleep(SETTLE).await;
    let meter = Meter::begin(bench, &fleet.namespaces).await;
    sleep(window() / 2).await;
    let period = meter.end(bench, &fleet.namespaces).await;
    let time = period.time.plus(-1.0, idle);
    let leases = stored(bench, &fleet.namespaces, "").await.0 / fleet.namespaces.len() as u64;
    let predicted = costs.map(|costs| predict(&period, &fleet, costs, leases).percent());
    let more = (bench.plane.live_memory().await - memory) / 1024.0 / number(units);
    bench.row(
        &format!("{name}: requests per second"),
        rates(&period, 1),
        format!("for each of {units}: {}", rates(&period, units)),
    );
    bench.row(
        &format!("{name}: kube-apiserver, etcd"),
        format!("{} of a core, {:.1} seats", time.percent(), period.seats),
        format!(
            "predicted {}; memory of kube-apiserver {more:.0} KiB for each",
            predicted.as_deref().unwrap_or("only if all parts of `capacity` are measured")
        ),
    );
    let bytes = describe_stored(bench, &fleet.namespaces).await;
    bench.row(&format!("{name}: Leases in etcd"), bytes, "");
    if !fleet.leaders.is_empty() {
        let before = super::meter::count(bench, &fleet.namespaces);
        let resigned = fleet.resign().await;
        sleep(Duration::from_secs(3)).await;
        let after = super::meter::count(bench, &fleet.namespaces);
        let requests = leasehold_test_support::since(&before, &after);
        bench.row(
            &format!("{name}: {resigned} leaders resign, requests of 3 s for each"),
            each(&requests, resigned),
            "",
        );
    }
    drop(fleet);
    sleep(Duration::from_secs(5)).await;
}

/// The processor time in each second that follows from the requests and the cost of each.
fn predict(period: &Period, fleet: &Fleet, costs: &Costs, leases: u64) -> Time {
    let rate = |verb: &str| {
        let count = period.requests.get(verb).copied().unwrap_or(0);
        as_f64(count) / period.counted.as_secs_f64()
    };
    // Of three candidates one leads. A leader renews five times as often as a follower, whose record no one watches.
    let leading = number(fleet.leaders.len()) / 3.0;
    let events = if fleet.shown > 0 { leading * RENEWALS * number(fleet.shown) } else { 0.0 };
    let update = costs.update.plus(number(fleet.passing), costs.watched);
    let list = costs.list.plus(as_f64(leases), costs.passed);
    let none = Time { apiserver: 0.0, etcd: 0.0 };
    none.plus(rate("get"), costs.get)
        .plus(rate("update"), update)
        .plus(rate("list"), list)
        .plus(events, costs.event)
}

/// How often a leader without a session renews in a second: each 0.9 thirds of 15 s, on average.
const RENEWALS: f64 = 1.0 / 4.5;

/// Counts the requests of single kinds of users, so many of each at the same time.
pub(super) async fn counts(bench: &mut Bench, size: usize) {
    let mut fleets = Vec::new();
    for mode in Mode::ALL {
        let locks = if mode == Mode::Session { size * 10 } else { size };
        let of = mode.processes();
        // A queue has 128 places.
        let waiters = if mode == Mode::Session { size / 5 } else { size };
        let named = [
            (format!("{locks} locks held, {of}"), locks, Fleet::holder(bench, mode, locks).await),
            (
                format!("{size} locks waited for, {of}"),
                size,
                Fleet::waiter(bench, mode, size).await,
            ),
            (
                format!("{waiters} {of} wait for one lock"),
                waiters,
                Fleet::queue(bench, mode, waiters).await,
            ),
            (
                format!("{size} elections of the same 3 {of}"),
                size,
                Fleet::shared_elections(bench, mode, size).await,
            ),
        ];
        fleets.extend(named);
    }
    sleep(SETTLE).await;
    let mut meters = Vec::new();
    for (_, _, fleet) in &fleets {
        meters.push(Meter::begin(bench, &fleet.namespaces).await);
    }
    sleep(window()).await;
    for ((name, units, fleet), meter) in fleets.iter().zip(meters) {
        let period = meter.end(bench, &fleet.namespaces).await;
        bench.row(
            &format!("{name}: requests per second"),
            rates(&period, 1),
            format!("for each of {units}: {}", rates(&period, *units)),
        );
    }
    for (name, _, fleet) in &fleets {
        let bytes = describe_stored(bench, &fleet.namespaces).await;
        bench.row(&format!("{name}: Leases in etcd"), bytes, "");
    }
    drop(fleets);
    sleep(Duration::from_secs(5)).await;
}

/// The requests of each second by verb, for each of so many units.
fn rates(period: &Period, units: usize) -> String {
    let seconds = period.counted.as_secs_f64() * number(units);
    let rate = |(verb, &count): (&String, &u64)| format!("{verb} {:.4}", as_f64(count) / seconds);
    let rates: Vec<_> = period.requests.iter().map(rate).collect();
    if rates.is_empty() { "none".into() } else { rates.join(", ") }
}

/// Requests by verb, for each of so many units.
pub(super) fn each(requests: &BTreeMap<String, u64>, units: usize) -> String {
    let each =
        |(verb, &count): (&String, &u64)| format!("{verb} {:.2}", as_f64(count) / number(units));
    requests.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// The number of Leases with this prefix, and their bytes in etcd.
async fn stored(bench: &Bench, namespaces: &[String], prefix: &str) -> (u64, u64) {
    let (mut keys, mut bytes) = (0, 0);
    for namespace in namespaces {
        let stored = bench.plane.stored(namespace, prefix).await;
        (keys, bytes) = (keys + stored.keys, bytes + stored.bytes);
    }
    (keys, bytes)
}

/// The number and size of the Leases of each kind.
async fn describe_stored(bench: &Bench, namespaces: &[String]) -> String {
    let (all, all_bytes) = stored(bench, namespaces, "").await;
    let mut kinds = Vec::new();
    let (mut left, mut left_bytes) = (all, all_bytes);
    for (prefix, name) in [("s15-", "sessions"), ("lock-", "locks"), ("election-", "elections")] {
        let (keys, bytes) = stored(bench, namespaces, prefix).await;
        (left, left_bytes) = (left - keys, left_bytes - bytes);
        if let Some(each) = bytes.checked_div(keys) {
            kinds.push(format!("{keys} {name} of {each} bytes"));
        }
    }
    if let Some(each) = left_bytes.checked_div(left) {
        kinds.push(format!("{left} others of {each} bytes"));
    }
    kinds.join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
