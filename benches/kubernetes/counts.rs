//! Requests by verb over two minutes, as the server counted them.

use std::{collections::BTreeMap, time::Duration};

use leasehold::{LeaderOptions, LockOptions, Sync as _};

use super::Bench;
use leasehold_test_support::since;

const MINUTES: Duration = Duration::from_secs(120);

fn told(counts: &BTreeMap<String, u64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let rate = |count: u64| count as f64 / MINUTES.as_secs_f64();
    let parts: Vec<_> = counts
        .iter()
        .map(|(verb, &count)| format!("{count} {verb} ({:.3}/s)", rate(count)))
        .collect();
    parts.join(", ")
}

/// One that holds, one that leads, one that follows: side by side, each in a namespace of its own or under a name of its own.
pub(crate) async fn steady(bench: &mut Bench) {
    let (locks, elections) = (bench.plane.namespace().await, bench.plane.namespace().await);
    let holder = bench.handle(&locks);
    let _held = holder.lock("orders", LockOptions::default()).await.unwrap();
    let (first, second) = (bench.handle(&elections), bench.handle(&elections));
    let _leader = first.leader("billing", LeaderOptions::default()).await.unwrap();
    let _follower = second.leader("billing", LeaderOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let of = |namespace: &str, election: Option<bool>| {
        bench.plane.audit_of(|request| {
            // The election's own record is written by the leader alone; watched by the follower alone.
            let leaders =
                request.name == "billing" && request.verb != "watch" && request.verb != "list";
            request.namespace == namespace && election.is_none_or(|election| election == leaders)
        })
    };
    let before = [of(&locks, None), of(&elections, Some(true)), of(&elections, Some(false))];
    tokio::time::sleep(MINUTES).await;
    let after = [of(&locks, None), of(&elections, Some(true)), of(&elections, Some(false))];
    for (what, (before, after)) in ["one holder of a lock", "one leader", "one follower"]
        .into_iter()
        .zip(before.iter().zip(&after))
    {
        bench.row(&format!("{what}, two minutes, all requests"), told(&since(before, after)), "");
    }
}
