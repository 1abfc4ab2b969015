//! The graceful fail-over of an election of sessions, in turns with its floor: the same write alone, and the delivery of
//! its event.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use leasehold::{Guard, Leader, LeaderOptions, Session, Sync as _};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    Bench,
    floor::{FLOOR, HandOver, Plain, Turns},
    now,
    sessions::{end_all, open},
};

const FAIL_OVERS: usize = 100;
const CANDIDATES: usize = 3;
/// Until the new leader has stated its token, and all have seen it.
const SETTLE: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);
const NAME: &str = "billing";

/// How a leader leaves.
#[derive(Clone, Copy)]
enum Way {
    Resigns,
    /// Its process ends: the session, with all that it has.
    Ends,
}

/// The leader of three candidates resigns, or ends its session. Another candidate then takes its place in the queue.
pub(crate) async fn all(bench: &mut Bench) {
    for (way, what) in [(Way::Resigns, "resigns"), (Way::Ends, "ends its session")] {
        fail_overs(bench, way, what).await;
    }
}

async fn fail_overs(bench: &mut Bench, way: Way, what: &str) {
    let namespace = bench.plane.namespace().await;
    let mut election = Election::new(bench, &namespace).await;
    let plain = Plain::new(bench, &namespace);
    let (before, after) = election.example(bench, way, &plain).await;
    let mut floor = HandOver::new(bench, &namespace, &before, &after).await;
    let count = |bench: &Bench| -> u64 {
        bench.plane.audit_of(|it| it.namespace == namespace && it.name == NAME).values().sum()
    };
    let (requests, mut turns) = (count(bench), Turns::default());
    for _ in 0..FAIL_OVERS {
        turns.floor.push(floor.once().await);
        turns.ours.push(election.fail_over(way).await);
        election.refill(bench).await;
    }
    let requests = count(bench) - requests;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = requests as f64 / FAIL_OVERS as f64;
    turns.report(
        bench,
        &format!("graceful fail-over of {CANDIDATES} sessions, the leader {what}"),
        &format!("PATCH of `{FLOOR}` + watch event"),
        &format!("{each:.2} requests for the election each, those of candidates included"),
    );
    let sessions: Vec<_> = election.candidates.into_iter().map(|one| one.session).collect();
    end_all(&sessions).await;
}

struct Candidate {
    session: Session,
    leader: Leader,
}

/// Candidates in the order in which they came. The first one leads.
struct Election {
    namespace: String,
    candidates: Vec<Candidate>,
    guard: Guard,
}

impl Election {
    async fn new(bench: &Bench, namespace: &str) -> Self {
        let mut candidates = Vec::new();
        for _ in 0..CANDIDATES {
            candidates.push(stand(open(bench, namespace).await).await);
        }
        let guard = candidates[0].leader.elected().await.unwrap();
        sleep(SETTLE).await;
        Self { namespace: namespace.into(), candidates, guard }
    }

    /// Fails over once. Returns the Lease before and after that.
    async fn example(&mut self, bench: &Bench, way: Way, plain: &Plain) -> (Value, Value) {
        for _ in 0..CANDIDATES {
            self.fail_over(way).await;
            self.refill(bench).await;
        }
        let before = plain.get(NAME).await;
        self.fail_over(way).await;
        let after = plain.get(NAME).await;
        self.refill(bench).await;
        (before, after)
    }

    /// The leader leaves. Returns the time until another one leads.
    async fn fail_over(&mut self, way: Way) -> Duration {
        let Candidate { session, leader } = self.candidates.remove(0);
        let token = self.guard.token();
        let others: FuturesUnordered<_> = self.candidates.iter().map(elected).collect();
        let mut others = std::pin::pin!(others);
        let started = now();
        let leaving = async {
            match way {
                Way::Resigns => leader.resign().await.unwrap(),
                Way::Ends => session.end().await.unwrap(),
            }
        };
        let (next, ()) = tokio::join!(timeout(LIMIT, others.next()), leaving);
        let (guard, elected) = next.expect("elected in time").expect("others are candidates");
        assert!(!self.guard.is_held() && guard.check().unwrap() > token, "the token grows");
        let more = timeout(SETTLE, others.next()).await;
        assert!(more.is_err(), "one candidate leads");
        self.guard = guard;
        if let Way::Resigns = way {
            session.end().await.unwrap();
        }
        elected - started
    }

    /// A new candidate joins the election, at its end.
    async fn refill(&mut self, bench: &Bench) {
        let session = open(bench, &self.namespace).await;
        self.candidates.push(stand(session).await);
        sleep(SETTLE).await;
        let leads = join_all(self.candidates.iter().map(async |one| one.leader.tenure())).await;
        assert_eq!(leads.iter().flatten().count(), 1, "one candidate leads");
    }
}

async fn stand(session: Session) -> Candidate {
    let leader = session.leader(NAME, LeaderOptions::default()).await.unwrap();
    Candidate { session, leader }
}

async fn elected(candidate: &Candidate) -> (Guard, Instant) {
    (candidate.leader.elected().await.unwrap(), now())
}
