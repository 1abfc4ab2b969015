//! The field `preferredHolder`: the record prefers another holder.

use super::*;
use crate::api::error::Loss;

fn preferring(whom: &str, version: u64, record: &Record) -> Arc<Versioned> {
    found("u", version, Record { preferred: Some(whom.into()), ..record.clone() })
}

#[test]
fn a_holder_that_is_not_preferred_stops_renewing_and_is_in_doubt_until_its_deadline() {
    let (mut a, now) = holder();

    let step = a.step(at(1000), changed(&preferring("b", 11, &now.record)));

    assert_eq!(step, Step::Sleep(at(13_000)), "the tenure is not renewed");
    assert_eq!(token(&a, 12_999), Some(10), "the work has until the deadline to end");
    assert!(a.doubtful_at() <= Some(at(1000)));
}

#[test]
fn a_yielded_record_is_freed_and_left_to_the_preferred_holder_for_a_ttl() {
    let (mut a, now) = holder();
    a.step(at(1000), changed(&preferring("b", 11, &now.record)));
    let freeing = write_for(a.step(at(13_000), Input::Wake), WriteKind::Free);
    assert_eq!(a.status.loss, Some(Loss::Expired));
    a.step(at(13_001), Input::Claim(Durations::default()));

    let step = a.step(at(13_010), stored(&preferring("b", 12, &freeing.record)));

    assert!(assert_sleeps(&step) >= at(28_010), "a claim would undo the hand-over");
    assert!(a.status.waiting && a.wants_watch());
}

#[test]
fn a_release_while_yielding_frees_the_record_at_once() {
    let (mut a, now) = holder();
    a.step(at(1000), changed(&preferring("b", 11, &now.record)));

    let step = a.step(at(2000), Input::Release);

    write_for(step, WriteKind::Free);
    assert_eq!(token(&a, 2000), None);
}

#[test]
fn the_preferred_holder_claims_a_free_record_at_once() {
    let mut a = waiter();

    let step = a.step(at(1), changed(&preferring("a", 11, &free(11).record)));

    write_for(step, WriteKind::Claim);
}

#[test]
fn a_preferred_holder_keeps_renewing() {
    let (mut a, now) = holder();

    let step = a.step(at(1000), changed(&preferring("a", 11, &now.record)));

    assert_renews(&step, at(0));
}

#[test]
fn a_preferred_holder_that_does_not_claim_within_a_ttl_is_passed_over() {
    let mut a = waiter();
    let gone = preferring("gone", 11, &free(11).record);
    let step = a.step(at(0), changed(&gone));
    let (then, reading) = wake(&mut a, &step);
    assert!(then >= at(15_000) && reading == Step::Read);

    let claim = write_for(a.step(then, read(&gone)), WriteKind::Claim);
    let step = a.step(then, stored(&preferring("gone", 12, &claim.record)));

    // The tenure is renewed.
    assert_renews(&step, then);
}

#[test]
fn a_tenure_yields_to_a_newly_preferred_holder() {
    let mut a = waiter();
    let gone = preferring("gone", 11, &free(11).record);
    let step = a.step(at(0), changed(&gone));
    let (then, _) = wake(&mut a, &step);
    let claim = written(a.step(then, read(&gone)));
    a.step(then, stored(&preferring("gone", 12, &claim.record)));

    let step = a.step(then, changed(&preferring("c", 13, &claim.record)));

    assert_eq!(step, Step::Sleep(then + secs(13)));
}
