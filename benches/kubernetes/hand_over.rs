//! The hand-over of a lock between sessions, from the release to the next holder's guard, in turns with its floor: the
//! same write alone, and the delivery of its event.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream::FuturesUnordered};
use leasehold::{Guard, LockOptions, Session, Sync as _};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    Bench,
    floor::{FLOOR, HandOver, Plain, Turns},
    now,
    sessions::{end_all, open_all},
};

const HAND_OVERS: usize = 200;
/// Those after which each session has sent each kind of request.
const WARM_UP: usize = 10;
/// Until the last holder is in the queue again, and each session has seen it.
const SETTLE: Duration = Duration::from_millis(40);
const LIMIT: Duration = Duration::from_secs(10);
const NAME: &str = "orders";

/// One, ten and fifty sessions wait.
pub(crate) async fn all(bench: &mut Bench) {
    for waiters in [1, 10, 50] {
        hand_over(bench, waiters).await;
    }
}

async fn hand_over(bench: &mut Bench, waiters: usize) {
    let namespace = bench.plane.namespace().await;
    let sessions = open_all(bench, &namespace, waiters + 1).await;
    let mut line = Line::new(&sessions).await;
    let (before, after) = line.example(&Plain::new(bench, &namespace)).await;
    let mut floor = HandOver::new(bench, &namespace, &before, &after).await;
    let count = |bench: &Bench| -> u64 {
        let ours = |name: &str| name == NAME;
        bench.plane.audit_of(|it| it.namespace == namespace && ours(&it.name)).values().sum()
    };
    let (requests, mut turns) = (count(bench), Turns::default());
    for _ in 0..HAND_OVERS {
        turns.floor.push(floor.once().await);
        turns.ours.push(line.next().await);
    }
    let requests = count(bench) - requests;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = requests as f64 / HAND_OVERS as f64;
    turns.report(
        bench,
        &format!("hand-over between sessions, {waiters} waiting"),
        &format!("PATCH of `{FLOOR}` + watch event"),
        &format!("{each:.2} requests for the lock each, those of waiters included"),
    );
    drop(line);
    end_all(&sessions).await;
}

type Wait<'a> = futures::future::BoxFuture<'a, (usize, Guard, Instant)>;

/// One session holds the lock, the others wait.
struct Line<'a> {
    sessions: &'a [Session],
    waiting: FuturesUnordered<Wait<'a>>,
    holder: usize,
    guard: Option<Guard>,
    token: u64,
}

impl<'a> Line<'a> {
    async fn new(sessions: &'a [Session]) -> Self {
        let (_, guard, _) = wait(sessions, 0).await;
        let token = guard.check().unwrap().get();
        let waiting = (1..sessions.len()).map(|place| wait(sessions, place)).collect();
        let mut this = Self { sessions, waiting, holder: 0, guard: Some(guard), token };
        this.settle().await;
        for _ in 0..WARM_UP {
            this.next().await;
        }
        this
    }

    /// Hands the lock over once. Returns the Lease before and after that.
    async fn example(&mut self, plain: &Plain) -> (Value, Value) {
        let before = plain.get(NAME).await;
        self.release().await;
        let after = plain.get(NAME).await;
        self.queue_again().await;
        (before, after)
    }

    /// Hands the lock over once, and lets the last holder wait again. Returns the time to the next guard.
    async fn next(&mut self) -> Duration {
        let time = self.release().await;
        self.queue_again().await;
        time
    }

    async fn release(&mut self) -> Duration {
        let guard = self.guard.take().expect("one session holds the lock");
        let started = now();
        let (next, released) = tokio::join!(timeout(LIMIT, self.waiting.next()), guard.release());
        released.unwrap();
        let (place, guard, granted) = next.expect("granted in time").expect("others wait");
        let token = guard.check().unwrap().get();
        assert!(token > self.token, "the token grows");
        let last = std::mem::replace(&mut self.holder, place);
        assert_ne!(last, place, "another session has it");
        (self.guard, self.token) = (Some(guard), token);
        self.waiting.push(wait(self.sessions, last));
        granted - started
    }

    async fn queue_again(&mut self) {
        self.settle().await;
        let guard = self.guard.as_ref().expect("one session holds the lock");
        timeout(LIMIT, guard.requested()).await.expect("others wait");
    }

    /// Polls the waits, which are not granted.
    async fn settle(&mut self) {
        tokio::select! {
            () = sleep(SETTLE) => {}
            _ = self.waiting.next() => unreachable!("the lock is held"),
        }
    }
}

fn wait(sessions: &[Session], place: usize) -> Wait<'_> {
    Box::pin(async move {
        let guard = sessions[place].lock(NAME, LockOptions::default()).await.unwrap();
        (place, guard, now())
    })
}
