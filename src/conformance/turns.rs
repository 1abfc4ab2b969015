//! Tasks that share a handle, and waits that are given up.

use futures::{StreamExt as _, future::poll_immediate, stream::FuturesUnordered};

use super::{Pair, held_by, identity, must, once, patient, secs, unique};

pub(super) async fn tasks_of_a_handle_take_turns_in_order(pair: Pair<'_>) {
    let name = unique("fifo");
    let first = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");
    let mut waiting = FuturesUnordered::new();
    for n in 0..5 {
        let mut lock = pair.a.lock(&name, patient());
        assert!(poll_immediate(&mut lock).await.is_none(), "a second lock of one handle waits");
        waiting.push(async move { (n, lock.await) });
    }

    must(first.release().await, "a held lock can be released");
    let mut order = Vec::new();
    while let Some((n, guard)) = waiting.next().await {
        let guard = must(guard, "each in the queue has its turn");
        held_by(identity(pair.a), pair.b.lock(&name, once()).await, "it is held during each turn");
        order.push(n);
        must(guard.release().await, "a held lock can be released");
    }

    assert_eq!(order, [0, 1, 2, 3, 4], "first come, first served");
}

pub(super) async fn tokens_grow_from_tenure_to_tenure(pair: Pair<'_>) {
    let name = unique("tokens");
    let mut highest = 0;
    let mut grown = |guard: &crate::Guard| {
        let token = guard.token().get();
        assert!(token > highest, "tokens grow strictly: {token} after {highest}");
        highest = token;
    };
    for sync in [pair.a, pair.a, pair.b, pair.a, pair.b, pair.b] {
        let guard = must(sync.lock(&name, patient()).await, "a free lock can be taken");
        grown(&guard);
        must(guard.release().await, "a held lock can be released");
    }
    let mut guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");
    grown(&guard);
    for _ in 0..3 {
        let mut next = pair.a.lock(&name, patient());
        assert!(poll_immediate(&mut next).await.is_none(), "a second lock of one handle waits");
        drop(guard);
        guard = must(next.await, "the lock goes from task to task");
        grown(&guard);
    }
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_dropped_lock_leaves_no_waiter(pair: Pair<'_>) {
    let name = unique("cancelled");
    for waiter in [pair.a, pair.b] {
        let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");
        let mut waiting = waiter.lock(&name, patient().ttl(secs(600)));
        assert!(poll_immediate(&mut waiting).await.is_none(), "a held lock is waited for");

        drop(waiting);
        must(guard.release().await, "a held lock can be released");

        let next =
            must(pair.b.lock(&name, patient()).await, "a dropped wait does not get the lock");
        must(next.release().await, "a held lock can be released");
    }
}

pub(super) async fn a_dropped_lock_leaves_nothing_held(pair: Pair<'_>) {
    let name = unique("half");
    for polls in 0..6 {
        let mut lock = pair.a.lock(&name, patient().ttl(secs(600)));
        for _ in 0..polls {
            if poll_immediate(&mut lock).await.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }

        // Before, while or after its request was under way.
        drop(lock);

        let next = must(pair.b.lock(&name, patient()).await, "nobody holds a dropped lock");
        must(next.release().await, "a held lock can be released");
    }
}

pub(super) async fn a_wait_that_is_over_leaves_no_waiter(pair: Pair<'_>) {
    let name = unique("over");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");
    for waiter in [pair.a, pair.b] {
        let brief = patient().ttl(secs(600)).wait(std::time::Duration::from_millis(50));
        held_by(identity(pair.a), waiter.lock(&name, brief).await, "a wait ends with a timeout");
    }

    must(guard.release().await, "a held lock can be released");

    let next = must(pair.b.lock(&name, once()).await, "a wait that is over does not get the lock");
    must(next.release().await, "a held lock can be released");
    let next = must(pair.a.lock(&name, once()).await, "a wait that is over does not get the lock");
    must(next.release().await, "a held lock can be released");
}
