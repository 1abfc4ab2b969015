//! Sessions: a lock that many processes want in a loop.
//!
//! Each process is a session with a client of its own. All run in this process, so they share its processor with the
//! server, as the processes of a small cluster do.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use leasehold::{Guard, LockOptions, Session, SessionOptions, Sync as _};
use tokio::time::sleep;

use super::{Bench, now};

/// How long each round is measured.
pub(crate) const ROUND: Duration = Duration::from_secs(10);
/// The longest pause between two rounds.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// How long a holder works.
const HOLD: Duration = Duration::from_millis(1);
/// The processes of each round.
pub(crate) const PROCESSES: [usize; 3] = [2, 10, 50];

/// Opens a session with a client of its own.
pub(crate) async fn open(bench: &Bench, namespace: &str) -> Session {
    bench.handle(namespace).session(SessionOptions::default()).await.unwrap()
}

/// Opens sessions, each with a client of its own.
pub(crate) async fn open_all(bench: &Bench, namespace: &str, count: usize) -> Vec<Session> {
    join_all((0..count).map(|_| open(bench, namespace))).await
}

/// The name of a lock of many, as the player names it.
pub(crate) fn lock_name(number: usize) -> String {
    format!("lock-{number}")
}

/// Locks many names at once. The session bounds the requests that are under way.
pub(crate) async fn lock_all(session: &Session, numbers: Range<usize>) -> Vec<Guard> {
    let lock = async |number: usize| {
        session.lock(&lock_name(number), LockOptions::default()).await.unwrap()
    };
    join_all(numbers.map(lock)).await
}

pub(crate) async fn end_all(sessions: &[Session]) {
    join_all(sessions.iter().map(Session::end)).await.into_iter().for_each(Result::unwrap);
}

/// What one process did.
#[derive(Default)]
pub(crate) struct Served {
    rounds: u64,
    longest: Duration,
    /// The longest wait but the first one, in which all processes begin at one instant.
    longest_after_first: Duration,
}

/// Processes that want one lock, without and with a pause of up to 100 ms between two rounds.
pub(crate) async fn contended(bench: &mut Bench) {
    for between in [Between::Nothing, Between::Pause, Between::Queue] {
        for processes in PROCESSES {
            round(bench, processes, between).await;
        }
    }
}

async fn round(bench: &mut Bench, processes: usize, between: Between) {
    let namespace = bench.plane.namespace().await;
    let sessions = open_all(bench, &namespace, processes).await;
    let count = |bench: &Bench| -> u64 {
        bench.plane.audit_of(|request| request.namespace == namespace).values().sum()
    };
    let before = count(bench);
    let served = contest(&sessions, between).await;
    let requests = count(bench) - before;
    let line = format!("{processes} sessions want one lock, hold it for 1 ms");
    report(bench, &line, between, &served, requests);
    end_all(&sessions).await;
}

/// What a process does between two rounds.
#[derive(Clone, Copy)]
pub(crate) enum Between {
    Nothing,
    /// A pause of up to 100 ms.
    Pause,
    /// It joins the queue again in the write that releases the lock.
    Queue,
}

impl Between {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no pause",
            Self::Pause => "a pause of 0 to 100 ms",
            Self::Queue => "release and queue again",
        }
    }
}

/// Works as a holder does. A timer of the runtime for 1 ms takes up to 2.2 ms, the sleep of a thread 1.1 ms, as in Go.
async fn work() {
    tokio::task::spawn_blocking(|| std::thread::sleep(HOLD)).await.unwrap();
}

/// Lets each session lock, work and release in a loop for [`ROUND`].
pub(crate) async fn contest(sessions: &[Session], between: Between) -> Vec<Served> {
    let last_token = Arc::new(AtomicU64::new(0));
    let end = now() + ROUND;
    let work = sessions.iter().map(|session| {
        let (session, last_token) = (session.clone(), Arc::clone(&last_token));
        tokio::spawn(async move {
            let mut served = Served::default();
            let mut random = fastrand_of(&session.id());
            let mut held = None;
            while now() < end {
                if let Between::Pause = between {
                    sleep(PAUSE.mul_f64(random())).await;
                }
                let asked = now();
                let guard = match held.take() {
                    Some(held) => Guard::release_and_queue(held).await,
                    None => session.lock("contended", LockOptions::default()).await,
                };
                let guard = guard.unwrap();
                let waited = now() - asked;
                served.longest = served.longest.max(waited);
                if served.rounds > 0 {
                    served.longest_after_first = served.longest_after_first.max(waited);
                }
                let token = guard.check().unwrap().get();
                assert!(last_token.swap(token, Ordering::SeqCst) < token, "the token grows");
                work().await;
                match between {
                    Between::Queue => held = Some(guard),
                    _ => guard.release().await.unwrap(),
                }
                served.rounds += 1;
            }
            if let Some(held) = held {
                held.release().await.unwrap();
            }
            served
        })
    });
    join_all(work).await.into_iter().map(Result::unwrap).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub(crate) fn report(
    bench: &mut Bench,
    line: &str,
    between: Between,
    served: &[Served],
    requests: u64,
) {
    let rounds: Vec<_> = served.iter().map(|one| one.rounds as f64).collect();
    let sum: f64 = rounds.iter().sum();
    let squares: f64 = rounds.iter().map(|rounds| rounds * rounds).sum();
    let longest =
        |of: fn(&Served) -> Duration| served.iter().map(of).max().unwrap_or_default().as_secs_f64();
    bench.row(
        &format!("{line}, {}", between.name()),
        format!("{:.0} hand-offs/s", sum / ROUND.as_secs_f64()),
        format!(
            "{:.1} requests each, Jain's index {:.2}, longest wait {:.2} s, {:.2} s after the first",
            requests as f64 / sum,
            sum * sum / (squares * rounds.len() as f64),
            longest(|one| one.longest),
            longest(|one| one.longest_after_first),
        ),
    );
}

/// Numbers from 0 to 1 that differ between processes.
fn fastrand_of(seed: &str) -> impl FnMut() -> f64 + Send + use<> {
    let seed = seed.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    let mut random = leasehold_test_support::Rng::new(seed);
    move || f64::from(u32::try_from(random.below(1_000_000)).unwrap_or_default()) / 1_000_000.0
}
