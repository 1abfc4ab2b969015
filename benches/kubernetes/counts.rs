//! The requests of two minutes by verb, counted by the server.

use std::{collections::BTreeMap, time::Duration};

use leasehold::{LeaderOptions, LockOptions, Sync as _};

use super::Bench;
use leasehold_test_support::since;

const PERIOD: Duration = Duration::from_secs(120);

/// Lists the counts of all verbs with their rates.
fn with_rates(counts: &BTreeMap<String, u64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let rate = |count: u64| count as f64 / PERIOD.as_secs_f64();
    let parts: Vec<_> = counts
        .iter()
        .map(|(verb, &count)| format!("{count} {verb} ({:.3}/s)", rate(count)))
        .collect();
    parts.join(", ")
}

/// Counts the requests of a lock holder, a leader and a follower at the same time. The lock has a namespace of its own;
/// the names of the records tell the requests of the leader and the follower apart.
pub(crate) async fn steady(bench: &mut Bench) {
    let (locks, elections) = (bench.plane.namespace().await, bench.plane.namespace().await);
    let holder = bench.handle(&locks);
    let _held = holder.lock("orders", LockOptions::default()).await.unwrap();
    let (first, second) = (bench.handle(&elections), bench.handle(&elections));
    let _leader = first.leader("billing", LeaderOptions::default()).await.unwrap();
    let _follower = second.leader("billing", LeaderOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let count = |namespace: &str, by_leader: Option<bool>| {
        bench.plane.audit_of(|request| {
            // Only the leader reads and writes the record of the election; only the follower watches it.
            let is_leaders =
                request.name == "billing" && request.verb != "watch" && request.verb != "list";
            request.namespace == namespace
                && by_leader.is_none_or(|by_leader| by_leader == is_leaders)
        })
    };
    let before =
        [count(&locks, None), count(&elections, Some(true)), count(&elections, Some(false))];
    tokio::time::sleep(PERIOD).await;
    let after =
        [count(&locks, None), count(&elections, Some(true)), count(&elections, Some(false))];
    for (member, (before, after)) in ["one holder of a lock", "one leader", "one follower"]
        .into_iter()
        .zip(before.iter().zip(&after))
    {
        bench.row(
            &format!("{member}, two minutes, all requests"),
            with_rates(&since(before, after)),
            "",
        );
    }
}
