//! A partition of fifteen minutes, sixty times the ttl.

use std::sync::Arc;

use leasehold::{Leader, Status};

use crate::prelude::*;

const PARTITION: Duration = secs(15 * 60);
/// How many requests one process may send in that time: one in 3 s.
const CALM: usize = 300;

/// The ways in which a cut-off client and the server miss each other.
fn ways() -> [Play; 3] {
    [Play::lost(), Play::reset(), Play::carried_out(Reply::Never)]
}

async fn candidate(cluster: &Cluster, who: &str) -> Arc<Leader> {
    let leader = cluster.handle(who).leader("billing", LeaderOptions::default()).await;
    Arc::new(leader.expect("a candidate"))
}

/// Waits at most this long for the lead.
async fn elected(leader: &Leader, limit: Duration) -> Guard {
    let elected = tokio::time::timeout(limit, leader.elected()).await;
    elected.expect("in time").expect("the lead")
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_steps_down_and_competes_again_afterwards() {
    for way in ways() {
        let cluster = Cluster::new();
        let (a, b) = (candidate(&cluster, "a").await, candidate(&cluster, "b").await);
        let first = elected(&a, secs(1)).await;
        cluster.until(secs(60)).await;
        let sent = cluster.sent(|request| request.by == "a" && request.verb == "update");

        cluster.on(When::any().by("a"), way);
        let (end, loss) = end_of(&cluster, &first).await;
        let second = elected(&b, secs(30)).await;
        cluster.forget();
        cluster.until(end + PARTITION).await;
        let in_vain = cluster.count(|request| request.by == "a");
        cluster.heal();
        cluster.until(cluster.now() + secs(90)).await;

        assert!(end <= sent + secs(13 + 5) && loss == Loss::Expired, "{end:?} {sent:?} {loss:?}");
        assert!(
            second.is_held() && second.token() > first.token(),
            "the successor is not disturbed"
        );
        assert!(in_vain <= CALM, "{in_vain} requests while cut off");
        assert_eq!(a.status(), Status::Follower);
        drop((first, second));
        b.resign().await.expect("resigned");
        let again = elected(&a, secs(2)).await;
        assert!(again.is_held());
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_partition_of_all_from_the_server_one_leads_and_a_waiter_gets_its_lock() {
    for way in ways() {
        let cluster = Cluster::new();
        let (a, b) = (candidate(&cluster, "a").await, candidate(&cluster, "b").await);
        let (c, d) = (cluster.handle("c"), cluster.handle("d"));
        let (lead, lock) = (elected(&a, secs(1)).await, take(&c).await);
        let waiting = tokio::spawn(async move { take(&d).await });
        cluster.until(secs(60)).await;

        cluster.on(When::any(), way);
        cluster.forget();
        cluster.until(cluster.now() + PARTITION).await;
        let in_vain = cluster.requests().len();
        cluster.heal();

        assert!(!lead.is_held() && !lock.is_held() && !waiting.is_finished());
        assert!(in_vain <= 4 * CALM, "{in_vain} requests while cut off");
        drop(lead);
        let one = tokio::select! {
            one = elected(&a, secs(90)) => one,
            one = elected(&b, secs(90)) => one,
        };
        let waiter = tokio::time::timeout(secs(90), waiting).await.expect("in time");
        assert!(one.is_held() && waiter.expect("it does not panic").token() > lock.token());
    }
}
