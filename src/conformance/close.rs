//! Leaving nothing behind.

use std::time::Duration;

use futures::future::poll_immediate;
use tokio::time::timeout;

use super::{Pair, elections::stand, held_by, identity, must, once, patient, secs, unique};
use crate::{LeaderOptions, ListMembersOptions};

/// Long enough for a request, and shorter than any time to live.
const MOMENT: Duration = Duration::from_millis(500);

pub(super) async fn closing_waits_until_what_was_dropped_is_undone(pair: Pair<'_>) {
    let (name, waited) = (unique("undone"), unique("given-up"));
    let guard =
        must(pair.a.lock(&name, patient().ttl(secs(600))).await, "a free lock can be taken");
    let mut given_up = pair.a.lock(&waited, patient().ttl(secs(600)));
    let _ = poll_immediate(&mut given_up).await;
    if let Some(cut) = pair.cut {
        cut(true);
    }

    drop((guard, given_up));
    if let Some(cut) = pair.cut {
        let early = timeout(MOMENT, pair.a.close()).await;
        assert!(early.is_err(), "it cannot have been undone without a backend: {early:?}");
        cut(false);
    }
    must(pair.a.close().await, "what was dropped can be undone");

    for name in [&name, &waited] {
        let next = must(pair.b.lock(name, once()).await, "nothing is left of what was dropped");
        must(next.release().await, "a held lock can be released");
    }
}

pub(super) async fn closing_waits_until_a_dropped_candidacy_is_withdrawn(pair: Pair<'_>) {
    let name = unique("withdrawn");
    let first = stand(pair.b, &name).await;
    drop(must(first.elected().await, "who stands alone leads").keep());
    for dropped in ["standing", "resigning", "about to stand"] {
        if dropped == "about to stand" {
            let mut standing = pair.a.leader(&name, LeaderOptions::default());
            let _ = poll_immediate(&mut standing).await;
        } else {
            let second = stand(pair.a, &name).await;
            if let Some(cut) = pair.cut {
                cut(true);
            }
            if dropped == "resigning" {
                let _ = poll_immediate(Box::pin(second.resign())).await;
            } else {
                drop(second);
            }
            if let Some(cut) = pair.cut {
                let early = timeout(MOMENT, pair.a.close()).await;
                assert!(early.is_err(), "{dropped}, it is listed still: {early:?}");
                cut(false);
            }
        }

        must(pair.a.close().await, "a candidacy can be withdrawn");

        let listed = pair.b.list_members(ListMembersOptions::default().election(&name)).await;
        let listed: Vec<_> = must(listed, "members can be listed")
            .into_iter()
            .map(|member| member.candidate_id)
            .collect();
        assert_eq!(listed, [identity(pair.b)], "nobody is left of a candidacy dropped {dropped}");
    }
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn closing_leaves_what_is_held_and_the_handle_as_they_are(pair: Pair<'_>) {
    let (name, kept, election) = (unique("stays"), unique("kept"), unique("led"));
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");
    let tenure = must(pair.a.lock(&kept, patient()).await, "a free lock can be taken").keep();
    let leader = stand(pair.a, &election).await;
    let first = must(leader.elected().await, "who stands alone leads");

    must(pair.a.close().await, "there is nothing to wait for");

    assert!(guard.is_held() && tenure.is_held() && first.is_held(), "closing ends no tenure");
    for name in [&name, &kept, &election] {
        held_by(identity(pair.a), pair.b.lock(name, once()).await, "closing frees nothing");
    }
    must(guard.release().await, "a held lock can be released");
    must(pair.a.unlock(&kept).await, "a kept lock can be unlocked");
    must(leader.resign().await, "a leader can resign");
    let again = must(pair.a.lock(&name, once()).await, "a handle can be used after closing");
    must(again.release().await, "a held lock can be released");
}
