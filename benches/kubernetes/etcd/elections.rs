//! Elections of sessions on etcd, compared with `concurrency.Election` of etcd's own client on the same etcd in the same
//! run.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _, future::select_all};
use leasehold::{ElectEvent, Guard, Leader, LeaderOptions, Session, Sync as _, WatchElectOptions};
use leasehold_test_support::EtcdCluster;
use tokio::time::{sleep, timeout};

use super::{connect, session};
use crate::{Bench, millis, now, peers, quantile, sessions::end_all, timed};

const PAIRS: usize = 300;
const HAND_OVERS: usize = 50;
/// Until the candidate that resigned is in the queue again.
const SETTLE: Duration = Duration::from_millis(150);
const LIMIT: Duration = Duration::from_secs(10);
const NAME: &str = "billing";
const PEER: &str = "etcd `concurrency.Election`";
const OURS: &str = "ours on etcd, with sessions";

/// Both in turns.
pub(crate) async fn all(bench: &mut Bench, cluster: &EtcdCluster) {
    let peer = format!("http://{}", cluster.address(0));
    for turn in 0..2 {
        let (mut times, requests) = peers::campaigns(&peer, PAIRS).await;
        report_campaigns(bench, PEER, &mut times, requests);
        campaigns(bench, cluster, turn).await;
    }
    for candidates in [2, 10] {
        let ([mut elected, mut observed], requests) =
            peers::successions(&peer, candidates, HAND_OVERS).await;
        report_successions(bench, PEER, candidates, [&mut elected, &mut observed], requests);
        successions(bench, cluster, candidates).await;
    }
}

/// One candidacy after the other, each without a competitor: elected, and resigned.
async fn campaigns(bench: &mut Bench, cluster: &EtcdCluster, turn: usize) {
    let session = session(cluster, &format!("campaigns-{turn}")).await;
    let pair = async || {
        let leader = session.leader(NAME, LeaderOptions::default()).await.unwrap();
        let guard = leader.elected().await.unwrap();
        leader.resign().await.unwrap();
        assert!(!guard.is_held());
    };
    pair().await;
    let (before, mut times) = (cluster.requests().await, Vec::new());
    for _ in 0..PAIRS {
        times.push(timed(pair()).await.0);
    }
    let requests = cluster.requests().await - before;
    report_campaigns(bench, OURS, &mut times, requests);
    session.end().await.unwrap();
}

/// Prints the times of candidacies without a competitor.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn report_campaigns(bench: &mut Bench, whose: &str, times: &mut [Duration], requests: u64) {
    bench.row(
        &format!("{whose}: campaign and resign, no competitor"),
        format!("p50 {}, p99 {}", millis(quantile(times, 0.5)), millis(quantile(times, 0.99))),
        format!("{:.1} requests", requests as f64 / times.len() as f64),
    );
}

/// The leader of several candidates resigns, and competes again once another one leads.
async fn successions(bench: &mut Bench, cluster: &EtcdCluster, candidates: usize) {
    let namespace = format!("successions-{candidates}");
    let mut sessions = Vec::new();
    for _ in 0..candidates {
        sessions.push(session(cluster, &namespace).await);
    }
    let handle = connect(cluster, &namespace).await;
    let mut events = handle.watch_elect(WatchElectOptions::default()).await.unwrap();
    let mut leaders: Vec<Option<Leader>> = Vec::new();
    for session in &sessions {
        leaders.push(Some(stand(session).await));
    }
    let (mut place, mut guard, _) = next(&leaders).await;
    let (before, mut elected, mut observed) = (cluster.requests().await, Vec::new(), Vec::new());
    for _ in 0..HAND_OVERS {
        sleep(SETTLE).await;
        while timeout(Duration::ZERO, events.next()).await.is_ok() {}
        let last = leaders[place].take().expect("a candidate");
        let (token, started) = (guard.token(), now());
        let ((next, granted, at), resigned, seen) =
            tokio::join!(next(&leaders), last.resign(), elected_after(&mut events, &last));
        resigned.unwrap();
        assert!(!guard.is_held() && granted.check().unwrap() > token, "the token grows");
        elected.push(at - started);
        observed.push(seen - started);
        (guard, leaders[place]) = (granted, Some(stand(&sessions[place]).await));
        place = next;
    }
    let requests = cluster.requests().await - before;
    report_successions(bench, OURS, candidates, [&mut elected, &mut observed], requests);
    drop(leaders);
    end_all(&sessions).await;
}

/// Prints the times to the next leader, and to the event of an observer.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn report_successions(
    bench: &mut Bench,
    whose: &str,
    candidates: usize,
    [elected, observed]: [&mut [Duration]; 2],
    requests: u64,
) {
    let each = requests as f64 / elected.len() as f64;
    bench.row(
        &format!("{whose}: the leader of {candidates} candidates resigns, until the next one leads"),
        format!("p50 {}, p99 {}", millis(quantile(elected, 0.5)), millis(quantile(elected, 0.99))),
        format!(
            "{each:.1} requests, the next candidacy included; an observer sees the leader after p50 {}, p99 {}",
            millis(quantile(observed, 0.5)),
            millis(quantile(observed, 0.99))
        ),
    );
}

async fn stand(session: &Session) -> Leader {
    session.leader(NAME, LeaderOptions::default()).await.unwrap()
}

/// Waits for the next leader among the candidates.
async fn next(leaders: &[Option<Leader>]) -> (usize, Guard, Instant) {
    let elected = leaders.iter().enumerate().filter_map(|(place, leader)| {
        let leader = leader.as_ref()?;
        Some(Box::pin(async move { (place, leader.elected().await.unwrap(), now()) }))
    });
    timeout(LIMIT, select_all(elected)).await.expect("elected in time").0
}

/// When an observer saw another leader than this candidate.
async fn elected_after(
    events: &mut (impl Stream<Item = ElectEvent> + Unpin),
    last: &Leader,
) -> Instant {
    let elected = async {
        loop {
            match events.next().await {
                Some(ElectEvent::Elected(member)) if member.candidate_id != last.candidate_id() => {
                    return now();
                }
                _ => {}
            }
        }
    };
    timeout(LIMIT, elected).await.expect("observed in time")
}
