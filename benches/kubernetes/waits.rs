//! One session waits for a thousand locks that another one releases together, in turns with as many PUTs of a plain
//! client.

use std::{mem::swap, time::Duration};

use futures::future::join_all;
use leasehold::{Guard, LockOptions, Session, Sync as _};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    Bench,
    crash::until_joined,
    floor::{IN_FLIGHT, Plain, all as send, as_created, untracked},
    now,
    sessions::{end_all, lock_all, lock_name, open},
    timed,
};

const LOCKS: usize = 1000;
const ROUNDS: usize = 6;
const LIMIT: Duration = Duration::from_secs(120);

/// See the [module](self). The first round, whose waits are the first ones, is not counted.
pub(crate) async fn granted(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let (mut holder, mut waiter) = (open(bench, &namespace).await, open(bench, &namespace).await);
    let plain = Plain::new(bench, &namespace);
    let mut guards = lock_all(&holder, 0..LOCKS).await;
    let mut floor = Floor::new(bench).await;
    let count =
        |bench: &Bench| bench.plane.audit_of(|it| it.namespace == namespace).values().sum::<u64>();
    let (mut ours, mut puts, mut requests) = (Vec::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let waiting = wait(&waiter, &plain).await;
        let base = floor.round().await;
        let before = count(bench);
        let (took, next) = release(guards, waiting).await;
        if round > 0 {
            requests += count(bench) - before;
            ours.push(took);
            puts.push(base);
        }
        guards = next;
        swap(&mut holder, &mut waiter);
    }
    let (ours, puts): (Duration, Duration) = (ours.iter().sum(), puts.iter().sum());
    let rounds = u32::try_from(ROUNDS).unwrap();
    let ratio = ours.as_secs_f64() / puts.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = requests as f64 / (ROUNDS * LOCKS) as f64;
    bench.row(
        &format!("{LOCKS} locks are released that another session waits for, until all are granted"),
        format!("{:.2} s: {ratio:.2} x the floor", (ours / rounds).as_secs_f64()),
        format!(
            "{LOCKS} PUTs, {IN_FLIGHT} at a time: {:.2} s; {each:.2} requests each, means of {ROUNDS} rounds",
            (puts / rounds).as_secs_f64()
        ),
    );
    drop(guards);
    end_all(&[holder, waiter]).await;
}

/// Waits for all locks, and returns when all claims are in their queues.
async fn wait(waiter: &Session, plain: &Plain) -> Vec<JoinHandle<Guard>> {
    let wait = |number: usize| {
        let waiter = waiter.clone();
        tokio::spawn(async move {
            let name = lock_name(number);
            waiter.lock(&name, LockOptions::default()).await.unwrap()
        })
    };
    let waiting = (0..LOCKS).map(wait).collect();
    until_joined(plain, &waiter.id(), LOCKS).await;
    waiting
}

/// Releases all locks, and returns the time until the last one is granted.
async fn release(guards: Vec<Guard>, waiting: Vec<JoinHandle<Guard>>) -> (Duration, Vec<Guard>) {
    let before = guards.iter().map(|guard| guard.token()).max().expect("there are locks");
    let started = now();
    let granted = async {
        let granted = timeout(LIMIT, join_all(waiting)).await.expect("all are granted in time");
        (now() - started, granted)
    };
    let released = join_all(guards.into_iter().map(Guard::release));
    let ((took, granted), released) = tokio::join!(granted, released);
    released.into_iter().for_each(Result::unwrap);
    let guards: Vec<_> = granted.into_iter().map(Result::unwrap).collect();
    assert!(guards.iter().all(|guard| guard.check().unwrap() > before), "all tokens grow");
    (took, guards)
}

/// As many Leases as locks, in a namespace without sessions that are replaced.
struct Floor {
    plain: Plain,
    leases: Vec<Value>,
    turn: usize,
}

impl Floor {
    /// Copies of a lock of a session for which another one waits.
    async fn new(bench: &Bench) -> Self {
        let namespace = bench.plane.namespace().await;
        let (holder, waiter) = (open(bench, &namespace).await, open(bench, &namespace).await);
        let plain = Plain::new(bench, &namespace);
        let _guard = holder.lock(&lock_name(0), LockOptions::default()).await.unwrap();
        let waiting = {
            let waiter = waiter.clone();
            tokio::spawn(async move { waiter.lock(&lock_name(0), LockOptions::default()).await })
        };
        until_joined(&plain, &waiter.id(), 1).await;
        let example = plain.get(&lock_name(0)).await;
        waiting.abort();
        end_all(&[holder, waiter]).await;
        let names = (0..LOCKS).map(|number| format!("floor-{number}"));
        let create = async |name: String| {
            let created = plain.post(&as_created(&example, &name)).await;
            plain.put(&untracked(created)).await
        };
        let leases = join_all(names.map(create)).await;
        Self { plain, leases, turn: 0 }
    }

    async fn round(&mut self) -> Duration {
        self.turn += 1;
        let (turn, plain) = (self.turn, &self.plain);
        let stored = std::sync::Mutex::new(Vec::new());
        let put = async |mut lease: Value| {
            lease["metadata"]["annotations"]["leasehold.dev/turn"] = turn.to_string().into();
            let lease = plain.put(&lease).await;
            stored.lock().unwrap().push(lease);
        };
        let (took, _) = timed(send(std::mem::take(&mut self.leases).into_iter().map(put))).await;
        self.leases = stored.into_inner().unwrap();
        took
    }
}
