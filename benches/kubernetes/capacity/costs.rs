//! The processor time of single requests, of listed Leases, and of watches.
//!
//! Each cost is measured at two sizes. The requests are those of one plain client, four at a time, for Leases as the
//! library writes them.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream, stream::BoxStream};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{
    Api,
    api::{ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams},
};
use tokio::{task::JoinHandle, time::sleep};

use super::{
    super::{ADMIN, Bench},
    meter::{Servers, Time},
};

/// How many requests of each kind are sent.
const REQUESTS: [usize; 2] = [1000, 4000];
/// How many Leases a namespace has when it is listed, and how often it is.
const LEASES: [usize; 2] = [1000, 10_000];
/// Lists that select nothing, and lists that select everything.
const LISTS: [usize; 2] = [400, 20];
/// How many watches there are while Leases are written, and how many writes.
const WATCHES: [usize; 2] = [50, 500];
const WRITES: usize = 1000;
/// Each of them is an event for all watches.
const SHOWN_WRITES: usize = 200;
/// How many requests are under way.
const IN_FLIGHT: usize = 4;
/// The label that a session watches.
const LABEL: &str = "held.leasehold.dev/s15-abcdefghijklmnopqrst";

/// What one of each takes, in seconds.
pub(super) struct Costs {
    pub(super) get: Time,
    pub(super) update: Time,
    pub(super) list: Time,
    /// One Lease of the namespace that a list with a selector does not select.
    pub(super) passed: Time,
    /// One write in a namespace, for each watch with a selector that does not select it.
    pub(super) watched: Time,
    /// One event that is sent to one watch.
    pub(super) event: Time,
}

/// Measures the requests of a period, and what they took beyond `idle`.
struct Stopwatch<'a> {
    bench: &'a Bench,
    idle: Time,
}

impl Stopwatch<'_> {
    /// What one of `count` requests takes.
    async fn each(&self, count: usize, work: impl Future<Output = ()>) -> Time {
        let before = Servers::now(self.bench);
        work.await;
        // For the events of the last requests.
        sleep(Duration::from_millis(500)).await;
        Servers::now(self.bench).more_than(&before, self.idle).over(number(count))
    }
}

/// Measures all costs.
pub(super) async fn all(bench: &mut Bench, idle: Time) -> Costs {
    let (get, update) = requests(bench, idle).await;
    let (list, passed) = lists(bench, idle).await;
    let watched = watches(bench, idle, "that does not select it", WRITES, Some("none")).await;
    watches(bench, idle, "of another name", WRITES, None).await;
    let event = watches(bench, idle, "that shows it", SHOWN_WRITES, Some(LABEL)).await;
    Costs { get, update, list, passed, watched, event }
}

/// Measures reads and conditional writes of one Lease, and how the database of etcd grows with each write.
async fn requests(bench: &mut Bench, idle: Time) -> (Time, Time) {
    let mut results = Vec::new();
    for count in REQUESTS {
        let mut targets = Target::several(bench, IN_FLIGHT).await;
        let stopwatch = Stopwatch { bench, idle };
        let reads = join_all(targets.iter_mut().map(|target| target.get(count / IN_FLIGHT)));
        let get = stopwatch.each(count, async { drop(reads.await) }).await;
        let before = bench.plane.etcd_size().await;
        let writes = join_all(targets.iter_mut().map(|target| target.put(count / IN_FLIGHT)));
        let update = stopwatch.each(count, async { drop(writes.await) }).await;
        let after = bench.plane.etcd_size().await;
        let grown = after.in_use.saturating_sub(before.in_use) / count as u64;
        let stored = bench.plane.stored(&targets[0].namespace, "").await;
        let what = format!("of {count}, kube-apiserver, etcd");
        bench.row(&format!("processor time of one get {what}"), get.micros(), "");
        bench.row(
            &format!("processor time of one update {what}"),
            update.micros(),
            format!(
                "the database grows by {grown} bytes each; the Lease has {} bytes",
                stored.bytes / stored.keys
            ),
        );
        results.push((get, update));
    }
    results.pop().unwrap()
}

/// Measures lists of a namespace that select nothing, and that select everything.
async fn lists(bench: &mut Bench, idle: Time) -> (Time, Time) {
    let namespace = bench.plane.namespace().await;
    let leases: Api<Lease> = Api::namespaced(bench.plane.client(ADMIN), &namespace);
    let (mut present, mut none) = (0, Vec::new());
    for count in LEASES {
        let create = async |name: usize| {
            let lease = lease(&format!("lock-{name}"));
            leases.create(&PostParams::default(), &lease).await.unwrap();
        };
        let new = stream::iter(present..count).map(create).buffered(IN_FLIGHT);
        let stopwatch = Stopwatch { bench, idle };
        let created = stopwatch.each(count - present, new.collect()).await;
        present = count;
        let list = async |times: usize, label: &str| {
            for _ in 0..times {
                pages(&leases, label).await;
            }
        };
        let nothing = stopwatch.each(LISTS[0], list(LISTS[0], "none")).await;
        let everything = stopwatch.each(LISTS[1], list(LISTS[1], LABEL)).await;
        let stored = bench.plane.stored(&namespace, "").await;
        let what = format!("{count} Leases in the namespace, kube-apiserver, etcd");
        bench.row(
            &format!("processor time of one create, up to {what}"),
            created.micros(),
            format!("{} bytes each", stored.bytes / stored.keys),
        );
        bench.row(&format!("of a list that selects none, {what}"), nothing.micros(), "");
        let each = everything.over(number(count));
        bench.row(
            &format!("of a list that selects all in pages of 500, {what}"),
            everything.micros(),
            format!("for each Lease {}", each.micros()),
        );
        none.push(nothing);
    }
    let more = number(LEASES[1] - LEASES[0]);
    let passed = none[1].plus(-1.0, none[0]).over(more);
    let list = none[0].plus(-number(LEASES[0]), passed);
    bench.row(
        "of a list, and for each Lease that it does not select",
        list.micros(),
        passed.nanos(),
    );
    (list, passed)
}

/// Lists everything with this label, as the library does.
async fn pages(leases: &Api<Lease>, label: &str) {
    let mut params = ListParams::default().labels(label).limit(500);
    loop {
        let page = leases.list(&params).await.unwrap();
        let next = page.metadata.continue_.filter(|token| !token.is_empty());
        let Some(next) = next else { return };
        params = params.continue_token(&next);
    }
}

/// Measures what each watch adds to a write. Without a label, each watch is that of the name of another Lease.
async fn watches(
    bench: &mut Bench,
    idle: Time,
    what: &str,
    writes: usize,
    label: Option<&str>,
) -> Time {
    let mut targets = Target::several(bench, IN_FLIGHT).await;
    let namespace = targets[0].namespace.clone();
    let mut measure = async |bench: &Bench| {
        let work = join_all(targets.iter_mut().map(|target| target.put(writes / IN_FLIGHT)));
        Stopwatch { bench, idle }.each(writes, async { drop(work.await) }).await
    };
    let alone = measure(bench).await;
    let mut each = alone;
    for count in WATCHES {
        let params = match label {
            Some(label) => WatchParams::default().labels(label),
            None => WatchParams::default().fields("metadata.name=another"),
        };
        let memory = bench.plane.live_memory().await;
        let watches = Watches::begin(bench, &namespace, &params, count).await;
        let memory = (bench.plane.live_memory().await - memory) / 1024.0 / number(count);
        let with = measure(bench).await;
        drop(watches);
        each = with.plus(-1.0, alone).over(number(count));
        bench.row(
            &format!("processor time of one update, for each of {count} watches {what}"),
            each.micros(),
            format!(
                "all {}, without a watch {}; memory of kube-apiserver {memory:.0} KiB for each watch",
                with.micros(),
                alone.micros(),
            ),
        );
        // The server notices closed connections.
        sleep(Duration::from_secs(2)).await;
    }
    each
}

/// Watches, each on a connection of its own.
struct Watches(Vec<JoinHandle<()>>);

impl Watches {
    async fn begin(bench: &Bench, namespace: &str, params: &WatchParams, count: usize) -> Self {
        let leases: Api<Lease> = Api::namespaced(bench.plane.client(ADMIN), namespace);
        let version = leases.list(&ListParams::default()).await.unwrap().metadata.resource_version;
        let version = version.unwrap();
        let watch = async |_| leases.watch(params, &version).await.unwrap().boxed();
        let begun: Vec<_> = stream::iter(0..count).map(watch).buffered(IN_FLIGHT).collect().await;
        let read = |mut events: BoxStream<'static, kube::Result<WatchEvent<Lease>>>| {
            tokio::spawn(async move { while let Ok(Some(_)) = events.try_next().await {} })
        };
        let watches = begun.into_iter().map(read).collect();
        sleep(Duration::from_secs(2)).await;
        Self(watches)
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// A Lease to read and to write.
struct Target {
    namespace: String,
    leases: Api<Lease>,
    lease: Lease,
    turn: usize,
}

impl Target {
    /// Creates several Leases in a new namespace.
    async fn several(bench: &Bench, count: usize) -> Vec<Self> {
        let namespace = bench.plane.namespace().await;
        let leases: Api<Lease> = Api::namespaced(bench.plane.client(ADMIN), &namespace);
        let create = async |number: usize| {
            let (leases, namespace) = (leases.clone(), namespace.clone());
            let lease = lease(&format!("lock-{number}"));
            let mut lease = leases.create(&PostParams::default(), &lease).await.unwrap();
            // As the library leaves a Lease that it created.
            lease.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
            let mut target = Self { namespace, leases, lease, turn: 0 };
            target.put(10).await;
            target
        };
        stream::iter(0..count).map(create).buffered(count).collect().await
    }

    fn name(&self) -> &str {
        self.lease.metadata.name.as_deref().unwrap()
    }

    async fn get(&self, count: usize) {
        for _ in 0..count {
            self.leases.get(self.name()).await.unwrap();
        }
    }

    async fn put(&mut self, count: usize) {
        for _ in 0..count {
            self.turn += 1;
            let mut next = self.lease.clone();
            let transitions = i32::try_from(self.turn).unwrap();
            next.spec.get_or_insert_default().lease_transitions = Some(transitions);
            let stored = self.leases.replace(self.name(), &PostParams::default(), &next).await;
            self.lease = stored.unwrap();
        }
    }
}

/// A Lease of the size of a lock that a session holds.
fn lease(name: &str) -> Lease {
    let session = "s15-abcdefghijklmnopqrst";
    let queue = format!(r#"{{"v":1,"holders":["{session}/00c0ffee00c0ffee"],"queue":[]}}"#);
    let spec = LeaseSpec {
        holder_identity: Some(session.into()),
        lease_duration_seconds: Some(315_360_000),
        ..LeaseSpec::default()
    };
    let labels = [("leasehold.dev/kind".into(), "lock".into()), (LABEL.into(), String::new())];
    let metadata = ObjectMeta {
        name: Some(name.into()),
        annotations: Some([("leasehold.dev/queue".into(), queue)].into()),
        labels: Some(labels.into()),
        ..ObjectMeta::default()
    };
    Lease { metadata, spec: Some(spec) }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub(super) const fn number(count: usize) -> f64 {
    count as f64
}
