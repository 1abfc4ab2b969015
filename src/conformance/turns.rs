//! Checks of tasks that share a handle, and of waits that are dropped or time out.

use futures::{StreamExt as _, future::poll_immediate, stream::FuturesUnordered};

use super::{Pair, held_by, identity, must, once, patient, secs, unique};

pub(super) async fn tasks_of_a_handle_acquire_in_order(pair: Pair<'_>) {
    let name = unique("fifo");
    let first = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");
    let mut waiting = FuturesUnordered::new();
    for n in 0..5 {
        let mut lock = pair.a.lock(&name, patient());
        assert!(
            poll_immediate(&mut lock).await.is_none(),
            "a second lock call of one handle waits"
        );
        waiting.push(async move { (n, lock.await) });
    }

    must(first.release().await, "a held lock can be released");
    let mut order = Vec::new();
    while let Some((n, guard)) = waiting.next().await {
        let guard = must(guard, "every task in the queue acquires the lock");
        held_by(
            identity(pair.a),
            pair.b.lock(&name, once()).await,
            "the lock is held during each turn",
        );
        order.push(n);
        must(guard.release().await, "a held lock can be released");
    }

    assert_eq!(order, [0, 1, 2, 3, 4], "the tasks acquire the lock in the order of their calls");
}

pub(super) async fn tokens_grow_from_tenure_to_tenure(pair: Pair<'_>) {
    let name = unique("tokens");
    let mut highest = 0;
    let mut grown = |guard: &crate::Guard| {
        let token = guard.token().get();
        assert!(
            token > highest,
            "each token is greater than the one before: {token} after {highest}"
        );
        highest = token;
    };
    for sync in [pair.a, pair.a, pair.b, pair.a, pair.b, pair.b] {
        let guard = must(sync.lock(&name, patient()).await, "a free lock can be acquired");
        grown(&guard);
        must(guard.release().await, "a held lock can be released");
    }
    let mut guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");
    grown(&guard);
    for _ in 0..3 {
        let mut next = pair.a.lock(&name, patient());
        assert!(
            poll_immediate(&mut next).await.is_none(),
            "a second lock call of one handle waits"
        );
        drop(guard);
        guard = must(next.await, "the lock passes from one task to the next");
        grown(&guard);
    }
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_dropped_lock_future_leaves_no_waiter(pair: Pair<'_>) {
    let name = unique("cancelled");
    for waiter in [pair.a, pair.b] {
        let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");
        let mut waiting = waiter.lock(&name, patient().ttl(pair.ttl(secs(600))));
        assert!(poll_immediate(&mut waiting).await.is_none(), "a held lock is waited for");

        drop(waiting);
        must(guard.release().await, "a held lock can be released");

        let next = must(
            pair.b.lock(&name, patient()).await,
            "a dropped lock future does not acquire the lock",
        );
        must(next.release().await, "a held lock can be released");
    }
}

pub(super) async fn a_dropped_lock_future_holds_nothing(pair: Pair<'_>) {
    let name = unique("half");
    for polls in 0..6 {
        let mut lock = pair.a.lock(&name, patient().ttl(pair.ttl(secs(600))));
        for _ in 0..polls {
            if poll_immediate(&mut lock).await.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }

        // The future may be dropped before, during or after its request.
        drop(lock);

        let next =
            must(pair.b.lock(&name, patient()).await, "a dropped lock future leaves the lock free");
        must(next.release().await, "a held lock can be released");
    }
}

pub(super) async fn a_timed_out_wait_leaves_no_waiter(pair: Pair<'_>) {
    let name = unique("over");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");
    for waiter in [pair.a, pair.b] {
        let brief = patient().ttl(pair.ttl(secs(600))).wait(std::time::Duration::from_millis(50));
        held_by(
            identity(pair.a),
            waiter.lock(&name, brief).await,
            "a wait that is too short ends with a timeout",
        );
    }

    must(guard.release().await, "a held lock can be released");

    let next = must(
        pair.b.lock(&name, once()).await,
        "a wait that has timed out does not acquire the lock",
    );
    must(next.release().await, "a held lock can be released");
    let next = must(
        pair.a.lock(&name, once()).await,
        "a wait that has timed out does not acquire the lock",
    );
    must(next.release().await, "a held lock can be released");
}
