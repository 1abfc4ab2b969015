//! Checks of locks between handles.

use tokio::time::sleep;

use super::{Pair, held_by, identity, must, once, patient, secs, unique};
use crate::{Error, Loss, TenureState};

pub(super) async fn a_held_lock_excludes_other_handles(pair: Pair<'_>) {
    let name = unique("held");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");

    let second = pair.b.lock(&name, once()).await;

    held_by(identity(pair.a), second, "a held lock excludes other handles");
    assert!(guard.is_held(), "an attempt of another handle does not end a tenure");
    assert_eq!(guard.state(), TenureState::Held);
    assert_eq!((guard.name(), guard.holder()), (&*name, identity(pair.a)));
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_held_lock_excludes_its_own_handle(pair: Pair<'_>) {
    let name = unique("twice");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");

    let second = pair.a.lock(&name, once()).await;

    held_by(identity(pair.a), second, "a second lock call of one handle finds the lock held");
    assert!(guard.is_held());
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn one_attempt_acquires_a_free_lock(pair: Pair<'_>) {
    let name = unique("try");
    for sync in [pair.a, pair.b, pair.b, pair.a] {
        let guard = must(sync.lock(&name, once()).await, "one attempt acquires a free lock");
        must(guard.check(), "an acquired lock is held");
        must(guard.release().await, "a held lock can be released");
    }
}

pub(super) async fn a_timeout_names_the_holder(pair: Pair<'_>) {
    let name = unique("wait");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");
    let wait = std::time::Duration::from_millis(300);

    match pair.b.lock(&name, patient().wait(wait)).await {
        Err(Error::Timeout { name: named, holder, waited }) => {
            assert_eq!(
                (&*named, &*holder),
                (&*name, identity(pair.a)),
                "a timeout names the lock and its holder"
            );
            assert!(waited >= wait, "a wait of {wait:?} ended after {waited:?}");
        }
        other => panic!("a wait for a held lock ends with a timeout: {other:?}"),
    }
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_released_lock_is_free(pair: Pair<'_>) {
    let name = unique("released");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");

    must(guard.release().await, "a held lock can be released");

    let next =
        must(pair.b.lock(&name, once()).await, "a lock is free once its release has returned");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn a_dropped_guard_releases_the_lock(pair: Pair<'_>) {
    let name = unique("dropped");
    let guard = must(
        pair.a.lock(&name, patient().ttl(pair.ttl(secs(600)))).await,
        "a free lock can be acquired",
    );
    let tenure = guard.tenure();

    drop(guard);

    assert_eq!(
        tenure.state(),
        TenureState::Lost(Loss::Released),
        "dropping a guard ends its tenure"
    );
    let next = must(pair.b.lock(&name, patient()).await, "dropping a guard releases the lock");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn a_tenure_ends_before_its_release_is_sent(pair: Pair<'_>) {
    let name = unique("early");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");
    let tenure = guard.tenure();

    let release = guard.release();

    assert!(!tenure.is_held(), "a tenure ends before its release is sent");
    assert!(tenure.remaining().is_zero());
    assert!(matches!(tenure.check(), Err(Error::Lost { why: Loss::Released, .. })));
    must(release.await, "a held lock can be released");
    assert_eq!(tenure.lost().await, Loss::Released);
}

pub(super) async fn a_waiter_acquires_a_released_lock(pair: Pair<'_>) {
    let name = unique("waiter");
    let guard = must(
        pair.a.lock(&name, patient().ttl(pair.ttl(secs(600)))).await,
        "a free lock can be acquired",
    );
    let tenure = guard.tenure();
    let release = async {
        sleep(secs(1)).await;
        assert!(tenure.is_held(), "a waiter does not end a tenure");
        guard.release().await
    };

    let (next, released) = tokio::join!(pair.b.lock(&name, patient()), release);

    must(released, "a held lock can be released");
    let next = must(next, "a waiter gets the lock when it is released");
    assert!(!tenure.is_held() && next.is_held(), "the lock has one holder");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn a_held_lock_is_renewed(pair: Pair<'_>) {
    let name = unique("renewed");
    let guard = must(
        pair.a.lock(&name, patient().ttl(pair.ttl(secs(5)))).await,
        "a free lock can be acquired",
    );
    let token = guard.token();

    let second = pair.b.lock(&name, patient().wait(secs(6))).await;

    held_by(identity(pair.a), second, "a lock is held for longer than its time to live");
    assert_eq!(must(guard.check(), "a held lock is renewed"), token, "one tenure has one token");
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_kept_lock_is_held_until_unlock(pair: Pair<'_>) {
    let name = unique("kept");
    let tenure = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired").keep();
    held_by(identity(pair.a), pair.b.lock(&name, once()).await, "a kept lock is held");
    assert!(tenure.is_held(), "a kept lock is held");

    must(pair.a.unlock(&name).await, "a handle can unlock what it holds");

    assert!(!tenure.is_held(), "unlock ends a kept tenure");
    let next = must(pair.b.lock(&name, once()).await, "an unlocked lock is free");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn unlock_ends_the_tenure_of_a_guard(pair: Pair<'_>) {
    let name = unique("in-hand");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");

    must(pair.a.unlock(&name).await, "a handle can unlock what it holds");

    assert_eq!(guard.lost().await, Loss::Released, "unlock ends the tenure of a guard");
    let next = must(pair.b.lock(&name, once()).await, "an unlocked lock is free");
    drop(guard);
    assert!(next.is_held(), "dropping a lost guard releases nothing");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn only_the_holder_can_unlock(pair: Pair<'_>) {
    let name = unique("stranger");
    let rejected = |result, guarantee: &str| {
        let named = matches!(&result, Err(Error::NotHeld { name: named }) if *named == name);
        assert!(named, "{guarantee}: {result:?}");
    };
    rejected(pair.a.unlock(&name).await, "a lock that is not held cannot be unlocked");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be acquired");

    rejected(pair.b.unlock(&name).await, "another handle cannot unlock a lock");

    assert!(guard.is_held(), "an unlock of another handle does not end a tenure");
    held_by(
        identity(pair.a),
        pair.b.lock(&name, once()).await,
        "an unlock of another handle does not release the lock",
    );
    must(pair.a.unlock(&name).await, "a handle can unlock what it holds");
    rejected(pair.a.unlock(&name).await, "a lock cannot be unlocked twice");
}

pub(super) async fn a_lock_uses_its_time_to_live(pair: Pair<'_>) {
    if pair.session.is_some() {
        return;
    }
    let name = unique("ttl");
    let short = must(
        pair.a.lock(&name, patient().ttl(pair.ttl(secs(2)))).await,
        "a free lock can be acquired",
    );
    assert!(short.remaining() <= secs(2), "a tenure is never trusted beyond its time to live");
    must(short.release().await, "a held lock can be released");

    let long = must(
        pair.a.lock(&name, patient().ttl(pair.ttl(secs(3000)))).await,
        "a free lock can be acquired",
    );

    assert!(
        long.remaining() > secs(2000),
        "a longer time to live gives a longer tenure: {:?}",
        long.remaining()
    );
    assert!(long.remaining() < secs(3000), "a tenure ends before other handles may take the lock");
    must(long.release().await, "a held lock can be released");
}

pub(super) async fn a_time_to_live_below_one_second_is_one_second(pair: Pair<'_>) {
    if pair.session.is_some() {
        return;
    }
    let name = unique("brief");
    let brief = patient().ttl(std::time::Duration::from_millis(300));

    let guard =
        must(pair.a.lock(&name, brief).await, "a time to live below a second is rounded up");

    assert!(
        guard.remaining() <= secs(1),
        "a time to live below one second is rounded up to one second, not to {:?}",
        guard.remaining()
    );
    // A tenth of a second may be too short for a request to a busy backend. The release then fails.
    if let Err(error) = guard.release().await {
        assert!(error.is_transient(), "only a transient error may prevent the release: {error}");
    }
}

pub(super) async fn locks_are_independent(pair: Pair<'_>) {
    let names = [unique("one"), unique("two")];
    let first = must(pair.a.lock(&names[0], patient()).await, "a free lock can be acquired");

    let second =
        must(pair.b.lock(&names[1], once()).await, "locks with different names are independent");

    must(first.release().await, "a held lock can be released");
    assert!(second.is_held(), "the release of one lock does not affect another lock");
    must(second.release().await, "a held lock can be released");
}

pub(super) async fn a_disconnected_holder_loses_the_lock_before_the_next_holder(pair: Pair<'_>) {
    let Some(cut) = pair.cut else { return };
    let name = unique("cut");
    let guard = must(
        pair.a.lock(&name, patient().ttl(pair.ttl(secs(3)))).await,
        "a free lock can be acquired",
    );

    cut(true);
    let next = must(
        pair.b.lock(&name, patient()).await,
        "the lock of a holder that cannot renew can be acquired",
    );

    assert!(!guard.is_held(), "the first holder loses the lock before the second one holds it");
    assert!(next.token() > guard.token(), "each token is greater than the one before");
    must(guard.release().await, "releasing a lost guard succeeds, also without a connection");
    cut(false);
    assert!(next.is_held(), "a lost guard does not affect the next holder");
    must(next.release().await, "a held lock can be released");
}

#[expect(clippy::disallowed_methods, reason = "a test measures time")]
pub(super) async fn a_waiter_waits_only_the_remaining_time_to_live(pair: Pair<'_>) {
    let Some(cut) = pair.cut else { return };
    let (name, ttl) = (unique("remains"), pair.ttl(secs(5)));
    let guard = must(pair.a.lock(&name, patient().ttl(ttl)).await, "a free lock can be acquired");
    cut(true);
    let began = tokio::time::Instant::now();
    held_by(
        identity(pair.a),
        pair.b.lock(&name, once()).await,
        "a disconnected holder holds the lock for its time to live",
    );
    sleep(ttl / 2).await;

    // Half of the ttl has passed. A waiter that starts to count here does not acquire the lock within this wait.
    let next = pair.b.lock(&name, patient().wait(ttl * 9 / 10)).await;

    let next =
        must(next, "a waiter counts from when it first saw the record, not from its last call");
    let waited = began.elapsed();
    assert!(
        waited >= ttl,
        "the waiter acquired the lock {waited:?} after it first saw it held for a ttl of {ttl:?}"
    );
    assert!(!guard.is_held(), "the first holder loses the lock before the second one holds it");
    cut(false);
    must(next.release().await, "a held lock can be released");
    // Otherwise the lost tenure may still be under way in the next check, whose `close` then reports it.
    let again = pair.a.lock(&name, patient().ttl(ttl)).await;
    let again = must(again, "a holder that was disconnected can acquire the lock again");
    must(again.release().await, "a held lock can be released");
}
