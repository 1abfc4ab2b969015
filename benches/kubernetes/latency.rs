//! Latencies, each with its floor: the time that the same requests take alone, through the same client.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, future::select_all, stream::BoxStream};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams, WatchEvent, WatchParams},
};
use leasehold::{Kubernetes, LockOptions, Options, Sync as _};
use tokio::runtime::Builder;

use super::{ADMIN, Bench, millis, quantile, timed};

const PAIRS: usize = 1000;
/// Short, so that both kinds of pairs meet the same state of the machine.
const BATCH: usize = 10;
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

/// The runtime of a measurement, and the thread of the caller in it.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A runtime with one thread.
    OneThread,
    /// A task on a worker of a runtime with several threads.
    Worker,
    /// The main thread of a runtime with several threads, as in `main` under `#[tokio::main]`.
    Main,
}

impl Place {
    const ALL: [Self; 3] = [Self::OneThread, Self::Worker, Self::Main];

    const fn name(self) -> &'static str {
        match self {
            Self::OneThread => "runtime with one thread",
            Self::Worker => "runtime with several threads, on a worker",
            Self::Main => "runtime with several threads, on the main thread",
        }
    }

    /// Runs `work` to its end in a new runtime.
    fn run<T: Send + 'static>(self, work: impl Future<Output = T> + Send + 'static) -> T {
        let mut builder = match self {
            Self::OneThread => Builder::new_current_thread(),
            Self::Worker | Self::Main => Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        match self {
            Self::Worker => runtime.block_on(runtime.spawn(work)).unwrap(),
            Self::OneThread | Self::Main => runtime.block_on(work),
        }
    }
}

/// Measures acquire and release of a record that the handle knows, in turns with two conditional PUTs, in each runtime.
pub(crate) fn pairs(bench: &mut Bench) {
    for place in Place::ALL {
        let (config, namespace) = (bench.plane.config(ADMIN), block_on_namespace(bench));
        let (mut ours, mut floor) = place.run(pair(config, namespace));
        let ratio = quantile(&mut ours.times, 0.5).as_secs_f64()
            / quantile(&mut floor.times, 0.5).as_secs_f64();
        bench.row(
            &format!("uncontended acquire + release, known record, {}", place.name()),
            format!("{}: {ratio:.2} x the floor at p50", ours.summary()),
            format!("two PUTs: {}", floor.summary()),
        );
    }
}

/// Measures one conditional PUT to a Lease whose field managers the server tracks, in turns with one to a Lease whose
/// managers were removed.
pub(crate) async fn managers(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let leases = Api::namespaced(bench.plane.client(ADMIN), &namespace);
    let mut tracked = create_floor_lease(&leases, "tracked").await;
    let mut untracked = create_floor_lease(&leases, "untracked").await;
    untracked.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for turn in 0..4 * PAIRS {
        let holder = turn.to_string();
        let (time, next) = timed(put(&leases, "tracked", tracked, &holder)).await;
        with.push(time);
        tracked = next;
        let (time, next) = timed(put(&leases, "untracked", untracked, &holder)).await;
        without.push(time);
        untracked = next;
    }
    assert!(
        tracked.metadata.managed_fields.is_some() && untracked.metadata.managed_fields.is_none()
    );
    let (p50, base) = (quantile(&mut without, 0.5), quantile(&mut with, 0.5));
    let saved = 100.0 - 100.0 * p50.as_secs_f64() / base.as_secs_f64();
    let result = format!("p50 {}: {saved:.0} % less", millis(p50));
    bench.row(
        "PUT to a Lease without field managers",
        result,
        format!("with: p50 {}", millis(base)),
    );
}

fn block_on_namespace(bench: &Bench) -> String {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(bench.plane.namespace())
}

/// The times of one kind of pair, and what they cost this process.
#[derive(Default)]
struct Pairs {
    times: Vec<Duration>,
    cost: Cost,
}

impl Pairs {
    fn summary(&mut self) -> String {
        let (p50, p99) = (quantile(&mut self.times, 0.5), quantile(&mut self.times, 0.99));
        let pairs = u32::try_from(self.times.len()).unwrap();
        let wake_ups = f64::from(u32::try_from(self.cost.wake_ups).unwrap()) / f64::from(pairs);
        format!(
            "p50 {}, p99 {}, {} of processor time, {wake_ups:.1} wake-ups of threads",
            millis(p50),
            millis(p99),
            millis(self.cost.processor / pairs),
        )
    }
}

/// What the threads of this process have used.
#[derive(Clone, Copy, Default)]
struct Cost {
    processor: Duration,
    /// How often a thread was put on a processor.
    wake_ups: u64,
}

impl Cost {
    fn now() -> Self {
        let mut cost = Self::default();
        for thread in std::fs::read_dir("/proc/self/task").unwrap() {
            let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
            let numbers: Vec<u64> =
                text.split_whitespace().map(|word| word.parse().unwrap()).collect();
            cost.processor += Duration::from_nanos(numbers[0]);
            cost.wake_ups += numbers[2];
        }
        cost
    }

    fn add_since(&mut self, before: Self) {
        let now = Self::now();
        self.processor += now.processor.saturating_sub(before.processor);
        self.wake_ups += now.wake_ups - before.wake_ups;
    }
}

async fn pair(config: Config, namespace: String) -> (Pairs, Pairs) {
    let client = Client::try_from(config).unwrap();
    let sync = Kubernetes::new(client.clone(), Options::default().namespace(&namespace)).unwrap();
    let leases = Api::namespaced(client, &namespace);
    let mut lease = create_floor_lease(&leases, "floor").await;
    // As the library leaves a Lease that it created.
    lease.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
    let (mut ours, mut floor) = (Pairs::default(), Pairs::default());
    for batch in 0..=PAIRS / BATCH {
        if batch == 1 {
            (ours, floor) = (Pairs::default(), Pairs::default());
        }
        let before = Cost::now();
        for _ in 0..BATCH {
            let (time, ()) = timed(async {
                let guard = sync.lock("orders", LockOptions::default()).await.unwrap();
                guard.release().await.unwrap();
            })
            .await;
            ours.times.push(time);
        }
        ours.cost.add_since(before);
        let before = Cost::now();
        for _ in 0..BATCH {
            let (time, next) = timed(async {
                let held = put(&leases, "floor", lease, "holder").await;
                put(&leases, "floor", held, "").await
            })
            .await;
            lease = next;
            floor.times.push(time);
        }
        floor.cost.add_since(before);
    }
    (ours, floor)
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
