//! Checks of `close`.

use std::time::Duration;

use futures::future::poll_immediate;
use tokio::time::timeout;

use super::{Pair, elections::join, held_by, identity, must, once, patient, secs, unique};
use crate::{LeaderOptions, ListMembersOptions};

/// A time that is long enough for a request, and shorter than any time to live.
const MOMENT: Duration = Duration::from_millis(500);

pub(super) async fn close_waits_until_dropped_locks_are_released(pair: Pair<'_>) {
    let (name, waited) = (unique("undone"), unique("given-up"));
    let guard = must(
        pair.a.lock(&name, patient().ttl(pair.ttl(secs(600)))).await,
        "a free lock can be acquired",
    );
    let mut given_up = pair.a.lock(&waited, patient().ttl(pair.ttl(secs(600))));
    let _ = poll_immediate(&mut given_up).await;
    if let Some(cut) = pair.cut {
        cut(true);
    }

    drop((guard, given_up));
    if let Some(cut) = pair.cut {
        let early = timeout(MOMENT, pair.a.close()).await;
        assert!(early.is_err(), "close must wait while the backend is unreachable: {early:?}");
        cut(false);
    }
    must(pair.a.close().await, "a dropped lock is released in the background");

    for name in [&name, &waited] {
        let next = must(
            pair.b.lock(name, once()).await,
            "a dropped guard or future holds no lock after close",
        );
        must(next.release().await, "a held lock can be released");
    }
}

pub(super) async fn close_waits_until_dropped_candidates_are_removed(pair: Pair<'_>) {
    let name = unique("withdrawn");
    let first = join(pair.b, &name).await;
    drop(must(first.elected().await, "the only candidate is elected").keep());
    for dropped in ["a candidate", "resigning", "joining"] {
        if dropped == "joining" {
            let mut joining = pair.a.leader(&name, LeaderOptions::default());
            let _ = poll_immediate(&mut joining).await;
        } else {
            let second = join(pair.a, &name).await;
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
                assert!(
                    early.is_err(),
                    "dropped while {dropped}: the candidate is still listed: {early:?}"
                );
                cut(false);
            }
        }

        must(pair.a.close().await, "a dropped candidate is removed in the background");

        let listed = pair.b.list_members(ListMembersOptions::default().election(&name)).await;
        let listed: Vec<_> = must(listed, "members can be listed")
            .into_iter()
            .map(|member| member.candidate_id)
            .collect();
        assert_eq!(
            listed,
            [identity(pair.b)],
            "no candidate is left that was dropped while {dropped}"
        );
    }
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn close_keeps_held_locks_and_the_handle_usable(pair: Pair<'_>) {
    let (name, kept, election) = (unique("stays"), unique("kept"), unique("led"));
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");
    let tenure = must(pair.a.lock(&kept, patient()).await, "a free lock can be acquired").keep();
    let leader = join(pair.a, &election).await;
    let first = must(leader.elected().await, "the only candidate is elected");

    must(pair.a.close().await, "close succeeds if there is nothing to wait for");

    assert!(guard.is_held() && tenure.is_held() && first.is_held(), "close ends no tenure");
    for name in [&name, &kept, &election] {
        held_by(identity(pair.a), pair.b.lock(name, once()).await, "close releases no held lock");
    }
    must(guard.release().await, "a held lock can be released");
    must(pair.a.unlock(&kept).await, "a kept lock can be unlocked");
    must(leader.resign().await, "a leader can resign");
    let again = must(pair.a.lock(&name, once()).await, "a handle can be used after closing");
    must(again.release().await, "a held lock can be released");
}
