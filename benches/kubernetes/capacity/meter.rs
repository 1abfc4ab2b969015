//! Requests, processor time and seats of priority and fairness in a period.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use leasehold_test_support::since;

use super::{
    super::{Bench, now},
    fleet::USER,
};

/// The priority level of the users of the fleets, which are neither admins nor service accounts.
const LEVEL: [(&str, &str); 1] = [("priority_level", "global-default")];

/// The processor time of both servers, each in seconds: since their start, in a period, or in each second of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Time {
    pub(super) apiserver: f64,
    pub(super) etcd: f64,
}

impl Time {
    /// Applies `map` to both servers, with the values of `other`.
    pub(super) fn with(self, other: Self, map: impl Fn(f64, f64) -> f64) -> Self {
        let [apiserver, etcd] = [map(self.apiserver, other.apiserver), map(self.etcd, other.etcd)];
        Self { apiserver, etcd }
    }

    pub(super) fn plus(self, times: f64, other: Self) -> Self {
        self.with(other, |own, other| own + times * other)
    }

    pub(super) fn over(self, number: f64) -> Self {
        Self { apiserver: self.apiserver / number, etcd: self.etcd / number }
    }

    /// In the unit that suits costs of single requests.
    pub(super) fn micros(self) -> String {
        format!("{:.1} µs, {:.1} µs", self.apiserver * 1e6, self.etcd * 1e6)
    }

    /// In the unit that suits what one request does thousands of times.
    pub(super) fn nanos(self) -> String {
        format!("{:.0} ns, {:.0} ns", self.apiserver * 1e9, self.etcd * 1e9)
    }

    pub(super) fn percent(self) -> String {
        format!("{:.1} %, {:.1} %", self.apiserver * 100.0, self.etcd * 100.0)
    }
}

/// The processor time of both servers at one moment.
pub(super) struct Servers {
    at: Instant,
    time: Time,
}

impl Servers {
    pub(super) fn now(bench: &Bench) -> Self {
        let [apiserver, etcd] = [bench.plane.apiserver_use(), bench.plane.etcd_use()]
            .map(|server| server.processor.as_secs_f64());
        Self { at: now(), time: Time { apiserver, etcd } }
    }

    /// What they have used in each second since `before`.
    pub(super) fn since(&self, before: &Self) -> Time {
        let length = (self.at - before.at).as_secs_f64();
        self.time.with(before.time, |now, before| now - before).over(length)
    }

    /// What they have used since `before` more than when they are idle.
    pub(super) fn more_than(&self, before: &Self, idle: Time) -> Time {
        let length = (self.at - before.at).as_secs_f64();
        self.since(before).plus(-1.0, idle).over(1.0 / length)
    }
}

/// The beginning of a period.
pub(super) struct Meter {
    requests: BTreeMap<String, u64>,
    counted_at: Instant,
    seats: Demand,
    servers: Servers,
}

/// What happened in a period.
pub(super) struct Period {
    /// Requests by verb.
    pub(super) requests: BTreeMap<String, u64>,
    /// The time in which they were counted.
    pub(super) counted: Duration,
    /// Processor time in each second.
    pub(super) time: Time,
    /// How many seats of priority and fairness were taken at a time, on average.
    pub(super) seats: f64,
}

impl Meter {
    /// Begins to measure. Requests are counted in these namespaces.
    pub(super) async fn begin(bench: &Bench, namespaces: &[String]) -> Self {
        let seats = Demand::now(bench).await;
        let (counted_at, requests) = (now(), count(bench, namespaces));
        Self { requests, counted_at, seats, servers: Servers::now(bench) }
    }

    pub(super) async fn end(self, bench: &Bench, namespaces: &[String]) -> Period {
        let time = Servers::now(bench).since(&self.servers);
        let counted = self.counted_at.elapsed();
        let requests = since(&self.requests, &count(bench, namespaces));
        let seats = Demand::now(bench).await.since(&self.seats);
        Period { requests, counted, time, seats }
    }
}

/// Counts the requests of [`USER`] in these namespaces by verb.
pub(super) fn count(bench: &Bench, namespaces: &[String]) -> BTreeMap<String, u64> {
    bench.plane.audit_of(|request| request.user == USER && namespaces.contains(&request.namespace))
}

/// The seats that requests of the priority level have taken or waited for, summed over time.
struct Demand {
    nominal: f64,
    sum: f64,
    count: f64,
}

impl Demand {
    async fn now(bench: &Bench) -> Self {
        let metric = async |name: &str| {
            let name = format!("apiserver_flowcontrol_{name}");
            bench.plane.metric(&name, &LEVEL).await
        };
        Self {
            nominal: metric("nominal_limit_seats").await,
            sum: metric("demand_seats_sum").await,
            count: metric("demand_seats_count").await,
        }
    }

    /// The average since `before`.
    fn since(&self, before: &Self) -> f64 {
        (self.sum - before.sum) / (self.count - before.count) * self.nominal
    }
}
