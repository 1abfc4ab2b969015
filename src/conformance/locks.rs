//! Locks between handles.

use tokio::time::sleep;

use super::{Pair, held_by, identity, must, once, patient, secs, unique};
use crate::{Error, Loss, TenureState};

pub(super) async fn a_held_lock_is_nobody_elses(pair: Pair<'_>) {
    let name = unique("held");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");

    let second = pair.b.lock(&name, once()).await;

    held_by(identity(pair.a), second, "a held lock is not given to another handle");
    assert!(guard.is_held(), "somebody else's try does not end a tenure");
    assert_eq!(guard.state(), TenureState::Held);
    assert_eq!((guard.name(), guard.holder()), (&*name, identity(pair.a)));
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_held_lock_is_not_its_own_handles_twice(pair: Pair<'_>) {
    let name = unique("twice");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");

    let second = pair.a.lock(&name, once()).await;

    held_by(identity(pair.a), second, "a second lock of one handle waits its turn");
    assert!(guard.is_held());
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_free_lock_is_taken_by_one_try(pair: Pair<'_>) {
    let name = unique("try");
    for sync in [pair.a, pair.b, pair.b, pair.a] {
        let guard = must(sync.lock(&name, once()).await, "one try takes a free lock");
        must(guard.check(), "a lock that was given is held");
        must(guard.release().await, "a held lock can be released");
    }
}

pub(super) async fn a_wait_ends_with_the_name_of_the_holder(pair: Pair<'_>) {
    let name = unique("wait");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");
    let wait = std::time::Duration::from_millis(300);

    match pair.b.lock(&name, patient().wait(wait)).await {
        Err(Error::Timeout { name: named, holder, waited }) => {
            assert_eq!(
                (&*named, &*holder),
                (&*name, identity(pair.a)),
                "a timeout says who holds what"
            );
            assert!(waited >= wait, "a wait of {wait:?} was given up after {waited:?}");
        }
        other => panic!("a wait for a held lock ends with a timeout: {other:?}"),
    }
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_released_lock_is_free(pair: Pair<'_>) {
    let name = unique("released");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");

    must(guard.release().await, "a held lock can be released");

    let next =
        must(pair.b.lock(&name, once()).await, "a lock is free once its release has returned");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn a_dropped_guard_releases(pair: Pair<'_>) {
    let name = unique("dropped");
    let guard =
        must(pair.a.lock(&name, patient().ttl(secs(600))).await, "a free lock can be taken");
    let tenure = guard.tenure();

    drop(guard);

    assert_eq!(
        tenure.state(),
        TenureState::Lost(Loss::Released),
        "dropping a guard ends its tenure"
    );
    let next = must(pair.b.lock(&name, patient()).await, "dropping a guard frees the lock");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn a_guard_is_lost_as_soon_as_its_release_begins(pair: Pair<'_>) {
    let name = unique("early");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");
    let tenure = guard.tenure();

    let release = guard.release();

    assert!(!tenure.is_held(), "a tenure ends before its release is told to anybody");
    assert!(tenure.remaining().is_zero());
    assert!(matches!(tenure.check(), Err(Error::Lost { why: Loss::Released, .. })));
    must(release.await, "a held lock can be released");
    assert_eq!(tenure.lost().await, Loss::Released);
}

pub(super) async fn a_waiter_gets_what_is_released(pair: Pair<'_>) {
    let name = unique("waiter");
    let guard =
        must(pair.a.lock(&name, patient().ttl(secs(600))).await, "a free lock can be taken");
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
    let guard = must(pair.a.lock(&name, patient().ttl(secs(3))).await, "a free lock can be taken");
    let token = guard.token();

    let second = pair.b.lock(&name, patient().wait(secs(4))).await;

    held_by(identity(pair.a), second, "a lock is held for longer than its time to live");
    assert_eq!(must(guard.check(), "it is renewed"), token, "one tenure has one token");
    must(guard.release().await, "a held lock can be released");
}

pub(super) async fn a_kept_lock_is_held_until_unlocked(pair: Pair<'_>) {
    let name = unique("kept");
    let tenure = must(pair.a.lock(&name, patient()).await, "a free lock can be taken").keep();
    held_by(identity(pair.a), pair.b.lock(&name, once()).await, "a kept lock is held");
    assert!(tenure.is_held(), "a kept lock is held");

    must(pair.a.unlock(&name).await, "a handle can unlock what it holds");

    assert!(!tenure.is_held(), "unlocking ends a kept tenure");
    let next = must(pair.b.lock(&name, once()).await, "an unlocked lock is free");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn unlocking_ends_a_guard_in_hand(pair: Pair<'_>) {
    let name = unique("in-hand");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");

    must(pair.a.unlock(&name).await, "a handle can unlock what it holds");

    assert_eq!(guard.lost().await, Loss::Released, "unlocking ends the tenure of a guard");
    let next = must(pair.b.lock(&name, once()).await, "an unlocked lock is free");
    drop(guard);
    assert!(next.is_held(), "a guard that was lost frees nothing");
    must(next.release().await, "a held lock can be released");
}

pub(super) async fn nobody_unlocks_what_they_do_not_hold(pair: Pair<'_>) {
    let name = unique("stranger");
    let refused = |result, guarantee: &str| {
        let named = matches!(&result, Err(Error::NotHeld { name: named }) if *named == name);
        assert!(named, "{guarantee}: {result:?}");
    };
    refused(pair.a.unlock(&name).await, "an unknown lock cannot be unlocked");
    let guard = must(pair.a.lock(&name, patient()).await, "a free lock can be taken");

    refused(pair.b.unlock(&name).await, "a stranger cannot unlock");

    assert!(guard.is_held(), "a stranger's unlock does not end a tenure");
    held_by(
        identity(pair.a),
        pair.b.lock(&name, once()).await,
        "a stranger's unlock frees nothing",
    );
    must(pair.a.unlock(&name).await, "a handle can unlock what it holds");
    refused(pair.a.unlock(&name).await, "nobody unlocks twice");
}

pub(super) async fn the_time_to_live_of_a_lock_is_heeded(pair: Pair<'_>) {
    let name = unique("ttl");
    let short = must(pair.a.lock(&name, patient().ttl(secs(2))).await, "a free lock can be taken");
    assert!(short.remaining() <= secs(2), "a tenure is never trusted beyond its time to live");
    must(short.release().await, "a held lock can be released");

    let long =
        must(pair.a.lock(&name, patient().ttl(secs(3000))).await, "a free lock can be taken");

    assert!(
        long.remaining() > secs(2000),
        "a longer time to live holds longer: {:?}",
        long.remaining()
    );
    assert!(long.remaining() < secs(3000), "a tenure ends before others may take the lock");
    must(long.release().await, "a held lock can be released");
}

pub(super) async fn a_time_to_live_below_a_second_is_a_second(pair: Pair<'_>) {
    let name = unique("brief");
    let brief = patient().ttl(std::time::Duration::from_millis(300));

    let guard =
        must(pair.a.lock(&name, brief).await, "a time to live below a second is rounded up");

    assert!(guard.remaining() <= secs(1), "to one second, not {:?}", guard.remaining());
    // A tenth of a second for a request is little for a busy backend: then it may not have been told.
    if let Err(error) = guard.release().await {
        assert!(error.is_transient(), "releasing is no error, lost meanwhile or not: {error}");
    }
}

pub(super) async fn locks_are_independent(pair: Pair<'_>) {
    let names = [unique("one"), unique("two")];
    let first = must(pair.a.lock(&names[0], patient()).await, "a free lock can be taken");

    let second = must(pair.b.lock(&names[1], once()).await, "another lock is another lock");

    must(first.release().await, "a held lock can be released");
    assert!(second.is_held(), "the release of one lock does not touch another");
    must(second.release().await, "a held lock can be released");
}

pub(super) async fn a_holder_cut_off_has_lost_before_the_next_one_holds(pair: Pair<'_>) {
    let Some(cut) = pair.cut else { return };
    let name = unique("cut");
    let guard = must(pair.a.lock(&name, patient().ttl(secs(3))).await, "a free lock can be taken");

    cut(true);
    let next = must(pair.b.lock(&name, patient()).await, "a holder that cannot renew is followed");

    assert!(!guard.is_held(), "the first has lost before the second holds");
    assert!(next.token() > guard.token(), "tokens grow");
    cut(false);
    must(guard.release().await, "releasing what was lost is no error");
    assert!(next.is_held(), "who was lost does not touch a successor");
    must(next.release().await, "a held lock can be released");
}

#[expect(clippy::disallowed_methods, reason = "measures, and decides on nothing")]
pub(super) async fn a_waiter_waits_what_remains_and_no_more(pair: Pair<'_>) {
    let Some(cut) = pair.cut else { return };
    let (name, ttl) = (unique("remains"), secs(5));
    let guard = must(pair.a.lock(&name, patient().ttl(ttl)).await, "a free lock can be taken");
    cut(true);
    let began = tokio::time::Instant::now();
    held_by(identity(pair.a), pair.b.lock(&name, once()).await, "it is still held");
    sleep(ttl / 2).await;

    // Half of the time is over. Whoever counted anew from here would not have it within this wait.
    let next = pair.b.lock(&name, patient().wait(ttl * 9 / 10)).await;

    let next =
        must(next, "a waiter counts from when it first saw the record, not from its last call");
    let waited = began.elapsed();
    assert!(waited >= ttl, "it took the lock {waited:?} after it saw it held for {ttl:?}");
    assert!(!guard.is_held(), "the first has lost before the second holds");
    cut(false);
    must(next.release().await, "a held lock can be released");
}
