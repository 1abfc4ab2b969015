//! Claims that join a queue: their requests, processor time and bytes, and those of the event that shows each to the
//! holder.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use http::Request;
use leasehold_test_support::since;
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    super::{ADMIN, Bench, floor::Plain},
    costs::number,
    fleet::{Fleet, Mode, USER, lock_name},
    meter::{Servers, Time, count},
    steady::each,
};

/// How many locks of one process others wait for.
const LOCKS: [usize; 2] = [200, 1000];
/// How many processes wait for each, one after the other. The first one meets a record without a queue.
const WAITERS: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);

/// Measures the joins of each waiter at both sizes.
pub(super) async fn all(bench: &mut Bench, idle: Time) {
    for locks in LOCKS {
        let mut fleet = Fleet::new(bench, 1).await;
        fleet.open(bench, ADMIN, Mode::Session, 1).await;
        fleet.guards = fleet.lock(&fleet.processes[0], locks).await;
        let events = Events::begin(bench, &fleet.namespaces[0]).await;
        for waiter in 1..=WAITERS {
            fleet.open(bench, USER, Mode::Session, 1).await;
            // Its watch has begun, and its heartbeat is not due.
            sleep(Duration::from_secs(1)).await;
            join(bench, &mut fleet, &events, waiter, locks, idle).await;
        }
        drop(fleet);
        sleep(Duration::from_secs(2)).await;
    }
}

async fn join(
    bench: &mut Bench,
    fleet: &mut Fleet,
    events: &Events,
    waiter: usize,
    locks: usize,
    idle: Time,
) {
    let (requests, size) = (count(bench, &fleet.namespaces), bench.plane.etcd_size().await);
    let stored = bench.plane.stored(&fleet.namespaces[0], "lock-").await;
    let (shown, servers) = (events.seen().await, Servers::now(bench));
    fleet.wait((0..locks).map(|number| (waiter, lock_name(number))).collect());
    let requests = timeout(LIMIT, joined(bench, fleet, &requests, locks)).await.expect("in time");
    // For the events of the last ones.
    sleep(Duration::from_millis(500)).await;
    let time = Servers::now(bench).more_than(&servers, idle).over(number(locks));
    let shown = events.seen().await.since(shown);
    let grown = bench.plane.etcd_size().await.in_use.saturating_sub(size.in_use);
    let after = bench.plane.stored(&fleet.namespaces[0], "lock-").await;
    assert_eq!(after.keys, locks as u64, "each lock has one Lease");
    bench.row(
        &format!("claim {waiter} joins the queues of {locks} locks: requests for each"),
        each(&requests, locks),
        format!("kube-apiserver, etcd: {}", time.micros()),
    );
    bench.row(
        &format!("claim {waiter} joins the queues of {locks} locks: bytes for each"),
        format!(
            "the Lease has {} instead of {}; the database grows by {}",
            after.bytes / after.keys,
            stored.bytes / stored.keys,
            grown / after.keys
        ),
        format!(
            "{:.2} events to the holder, of {} bytes each",
            number(shown.count) / number(locks),
            shown.bytes.checked_div(shown.count).unwrap_or_default()
        ),
    );
}

/// Waits until the last waiter has written to each lock. Returns the requests since `before`.
async fn joined(
    bench: &Bench,
    fleet: &Fleet,
    before: &BTreeMap<String, u64>,
    locks: usize,
) -> BTreeMap<String, u64> {
    loop {
        let requests = since(before, &count(bench, &fleet.namespaces));
        let writes = ["update", "patch"].map(|verb| requests.get(verb).copied().unwrap_or(0));
        if writes.iter().sum::<u64>() >= locks as u64 {
            return requests;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The number of events, and their bytes as the server sent them.
#[derive(Clone, Copy, Default)]
struct Seen {
    count: usize,
    bytes: usize,
}

impl Seen {
    const fn since(self, before: Self) -> Self {
        Self { count: self.count - before.count, bytes: self.bytes - before.bytes }
    }
}

/// A watch of the locks of one session, as the session has it.
struct Events {
    seen: Arc<Mutex<Seen>>,
    reading: JoinHandle<()>,
}

impl Events {
    /// A watch of the session that holds the locks of this namespace.
    async fn begin(bench: &Bench, namespace: &str) -> Self {
        let lock = Plain::new(bench, namespace).get(&lock_name(0)).await;
        let session = lock["spec"]["holderIdentity"].as_str().unwrap();
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases?watch=1&labelSelector=held.leasehold.dev%2F{session}"
        );
        let request = Request::get(path).body(Vec::new()).unwrap();
        let lines = bench.plane.client(ADMIN).request_stream(request).await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let reading = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut lines = std::pin::pin!(lines.lines());
                while let Some(line) = lines.try_next().await.unwrap() {
                    let mut seen = seen.lock().await;
                    seen.count += 1;
                    seen.bytes += line.len() + 1;
                }
            }
        });
        // It begins with the present state of each lock.
        sleep(Duration::from_secs(2)).await;
        Self { seen, reading }
    }

    async fn seen(&self) -> Seen {
        *self.seen.lock().await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
