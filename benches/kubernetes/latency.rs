//! Latencies, each with its floor: the time that the same requests take alone, through the same client.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, future::select_all, stream::BoxStream};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{
    Api,
    api::{ObjectMeta, PostParams, WatchEvent, WatchParams},
};
use leasehold::{Kubernetes, LockOptions, Options, Sync as _};

use super::{ADMIN, Bench, millis, quantile, timed};

const PAIRS: usize = 1000;
const HAND_OVERS: usize = 40;

/// Creates a Lease of the size that the library writes, for measuring a floor.
async fn create_floor_lease(leases: &Api<Lease>, name: &str) -> Lease {
    let spec = LeaseSpec { lease_duration_seconds: Some(15), ..LeaseSpec::default() };
    let annotations = [("leasehold.dev/tenure".into(), "x".repeat(120))].into();
    let labels = [("leasehold.dev/kind".into(), "lock".into())].into();
    let metadata = ObjectMeta {
        name: Some(name.into()),
        annotations: Some(annotations),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    leases.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await.unwrap()
}

async fn put(leases: &Api<Lease>, name: &str, mut lease: Lease, holder: &str) -> Lease {
    lease.spec.get_or_insert_default().holder_identity = Some(holder.into());
    leases.replace(name, &PostParams::default(), &lease).await.unwrap()
}

/// Measures acquire and release of a record that the handle knows, in turns with two conditional PUTs.
pub(crate) async fn pair(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let client = bench.plane.client(ADMIN);
    let sync = Kubernetes::new(client.clone(), Options::default().namespace(&namespace)).unwrap();
    let leases = Api::namespaced(client, &namespace);
    let mut lease = create_floor_lease(&leases, "floor").await;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for turn in 0..PAIRS + 20 {
        let (time, ()) = timed(async {
            let guard = sync.lock("orders", LockOptions::default()).await.unwrap();
            guard.release().await.unwrap();
        })
        .await;
        let (floor_time, next) = timed(async {
            let held = put(&leases, "floor", lease, "holder").await;
            put(&leases, "floor", held, "").await
        })
        .await;
        lease = next;
        if turn >= 20 {
            ours.push(time);
            floor.push(floor_time);
        }
    }
    let ratio = quantile(&mut ours, 0.5).as_secs_f64() / quantile(&mut floor, 0.5).as_secs_f64();
    let quantiles = |times: &mut [Duration]| {
        format!("p50 {}, p99 {}", millis(quantile(times, 0.5)), millis(quantile(times, 0.99)))
    };
    let result = format!("{}: {ratio:.2} x the floor at p50", quantiles(&mut ours));
    bench.row(
        "uncontended acquire + release, known record",
        result,
        format!("two PUTs: {}", quantiles(&mut floor)),
    );
}

/// Measures the time from the holder's release to the next guard, in turns with a PUT and the delivery of its watch
/// event.
pub(crate) async fn hand_over(bench: &mut Bench) {
    for waiters in [2_usize, 10, 50] {
        let namespace = bench.plane.namespace().await;
        let mut floor = Delivery::new(bench, &namespace).await;
        let handles: Vec<_> = (0..=waiters).map(|_| bench.handle(&namespace)).collect();
        let wait = |place: usize| {
            let lock = handles[place].lock("orders", LockOptions::default());
            Box::pin(async move { (place, lock.await.unwrap()) })
        };
        let (mut holder, mut guard) = wait(0).await;
        let mut waiting: Vec<_> = (1..=waiters).map(wait).collect();
        until_watched(bench, &namespace, waiters, &mut waiting).await;
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..HAND_OVERS {
            floors.push(floor.once().await);
            let (time, ((next, held), _, rest)) = timed(async {
                let (next, _) = tokio::join!(select_all(waiting), guard.release());
                next
            })
            .await;
            ours.push(time);
            guard = held;
            waiting = rest;
            waiting.push(wait(std::mem::replace(&mut holder, next)));
            settle(&mut waiting).await;
        }
        let (p50, base) = (quantile(&mut ours, 0.5), quantile(&mut floors, 0.5));
        let ratio = p50.as_secs_f64() / base.as_secs_f64();
        let p99 = millis(quantile(&mut ours, 0.99));
        let result = format!("p50 {}, p99 {p99}: {ratio:.2} x the floor", millis(p50));
        let comparison = format!("PUT + watch event: p50 {}", millis(base));
        bench.row(&format!("hand-over, {waiters} waiting handles"), result, comparison);
    }
}

/// Polls the waiters for 150 ms, so that each of them has seen the new holder.
async fn settle<F: Future + Unpin>(waiting: &mut [F]) {
    let pause = tokio::time::sleep(Duration::from_millis(150));
    tokio::select! {
        () = pause => {}
        _ = select_all(waiting.iter_mut()) => unreachable!("the lock is held"),
    }
}

/// Polls all waiters until each of them has its watch.
async fn until_watched<F: Future + Unpin>(
    bench: &Bench,
    namespace: &str,
    waiters: usize,
    waiting: &mut [F],
) {
    let watched = async {
        while bench
            .plane
            .audit_of(|request| request.namespace == namespace)
            .get("watch")
            .copied()
            .unwrap_or(0)
            < waiters as u64
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let all = futures::future::join_all(waiting.iter_mut());
    tokio::select! {
        () = watched => {}
        _ = all => unreachable!("the lock is held"),
    }
}

/// A Lease and a watch of that Lease, to measure how long its events take.
struct Delivery {
    leases: Api<Lease>,
    lease: Lease,
    events: BoxStream<'static, kube::Result<WatchEvent<Lease>>>,
    turn: usize,
}

impl Delivery {
    async fn new(bench: &Bench, namespace: &str) -> Self {
        let leases: Api<Lease> = Api::namespaced(bench.plane.client(ADMIN), namespace);
        let lease = create_floor_lease(&leases, "floor").await;
        let from = lease.metadata.resource_version.clone().unwrap();
        let params = WatchParams::default().fields("metadata.name=floor");
        let events = leases.watch(&params, &from).await.unwrap().boxed();
        Self { leases, lease, events, turn: 0 }
    }

    /// Returns the time from sending a PUT to receiving its event.
    async fn once(&mut self) -> Duration {
        self.turn += 1;
        let (time, lease) = timed(async {
            let event = async {
                while !matches!(
                    self.events.try_next().await.unwrap(),
                    Some(WatchEvent::Modified(_))
                ) {}
            };
            let holder = self.turn.to_string();
            tokio::join!(put(&self.leases, "floor", self.lease.clone(), &holder), event).0
        })
        .await;
        self.lease = lease;
        time
    }
}
