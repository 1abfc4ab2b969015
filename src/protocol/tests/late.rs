//! Rules 2, 3 and 14: an answer after the end of its attempt is a state of the record, and counts from its own send.

use super::*;
use crate::{
    api::error::Loss,
    protocol::machine::{LateAnswer, SentWrite, Urgency},
};

fn stored_late(write: &Write, version: u64) -> Input {
    late_outcome(write, Outcome::Stored(after(write, version)))
}

fn late_outcome(write: &Write, outcome: Outcome) -> Input {
    Input::Late(LateAnswer::Write(SentWrite::of(write), outcome))
}

/// The late answer to a read that was sent when `highest` was the highest version.
fn read_late(sent_at: Moment, highest: u64, found: Option<&Arc<Versioned>>) -> Input {
    Input::Late(LateAnswer::Read { sent_at, highest, found: found.cloned() })
}

/// A contender whose claim on a free record, version 9, was sent at 0 ms and is unanswered at 1500 ms.
fn claimant() -> (Machine, Write) {
    let mut a = contender();
    let claim = write_for(a.step(at(0), read(&free(9))), WriteKind::Claim);
    assert_sleeps(&a.step(at(1500), unknown()));
    (a, claim)
}

#[test]
fn a_claim_that_is_answered_late_begins_a_tenure_that_counts_from_its_send() {
    let (mut a, claim) = claimant();

    let step = a.step(at(1550), stored_late(&claim, 10));

    assert_eq!((token(&a, 1550), a.deadline()), (Some(10), Some(at(13_000))));
    assert!(a.doubtful_at().is_some_and(|doubtful_at| assert_sleeps(&step) <= doubtful_at));
}

#[test]
fn a_renewal_that_is_answered_late_extends_the_tenure_from_its_send() {
    let (mut a, _) = holder();
    let renewal = write_for(a.step(at(5000), Input::Wake), WriteKind::Renew);
    let pause = a.step(at(6500), unknown());
    let (then, step) = sleep_on(&mut a, pause);
    assert_eq!(step, Step::Read, "a read runs while the write hangs");

    a.step(then + ms(10), stored_late(&renewal, 11));

    assert_eq!(a.deadline(), Some(at(18_000)));
    assert_eq!(token(&a, 7000), Some(10));
}

#[test]
fn a_late_answer_that_is_older_than_what_is_known_changes_nothing() {
    let (mut a, claim) = claimant();
    a.step(at(1600), changed(&held(11)));

    a.step(at(1700), stored_late(&claim, 10));

    assert_eq!(token(&a, 1700), None);
    assert_eq!(a.holder(), Some("b"));
}

#[test]
fn a_late_claim_of_a_record_that_was_absent_since_begins_no_tenure_before_a_read() {
    let mut a = contender();
    let create = write_for(a.step(at(0), absent()), WriteKind::Claim);
    let pause = a.step(at(1500), unknown());
    let (then, _) = sleep_on(&mut a, pause);
    // Absent after the create was sent: the create was stored later, or the record was deleted in between.
    let second = written(a.step(then, absent()));

    a.step(then + ms(100), stored_late(&create, 10));
    assert_eq!(token(&a, 3000), None);
    let step = a.step(then + ms(200), late_outcome(&second, Outcome::Conflict));
    assert_sleeps(&step);
    assert_eq!(a.step(then + ms(300), conflict()), Step::Read);
    a.step(then + ms(400), read(&after(&create, 10)));

    assert_eq!((token(&a, 3000), a.deadline()), (Some(10), Some(at(13_000))));
}

#[test]
fn a_late_read_of_another_holder_delays_a_create_although_the_record_was_absent_since() {
    let mut a = contender();
    let pause = a.step(at(1500), Input::Read(Err(Failure::default())));
    let (then, _) = sleep_on(&mut a, pause);
    written(a.step(then, absent()));
    a.step(then + ms(100), conflict());

    // Held after the absence, or before it. The holder may not know of the deletion.
    a.step(then + ms(200), read_late(at(0), 0, Some(&held(10))));
    let step = a.step(then + ms(300), absent());

    let (then, step) = sleep_on(&mut a, step);
    assert_eq!((then >= at(15_000), step), (true, Step::Read));
}

#[test]
fn where_every_answer_is_late_a_holder_renews() {
    let mut a = contender();
    let claim = write_for(a.step(at(0), read(&free(9))), WriteKind::Claim);
    // A watch shows the claim, so the late answer to it is no news.
    a.step(at(100), changed(&after(&claim, 10)));
    let pause = a.step(at(1500), unknown());
    let (read_at, step) = sleep_on(&mut a, pause);
    assert_eq!(step, Step::Read, "because the attempt of the claim had no answer");
    a.step(at(1600), stored_late(&claim, 10));
    let pause = a.step(read_at + ms(1500), Input::Read(Err(UNKNOWN)));
    assert_sleeps(&pause);

    let step = a.step(read_at + ms(1600), read_late(read_at, 10, Some(&after(&claim, 10))));

    let (renewed_at, step) = sleep_on(&mut a, step);
    assert!((at(4000)..=at(5000)).contains(&renewed_at));
    write_for(step, WriteKind::Renew);
}

#[test]
fn where_every_answer_is_late_a_contender_creates_the_record() {
    let mut a = contender();
    let pause = a.step(at(1500), Input::Read(Err(UNKNOWN)));
    let (then, step) = sleep_on(&mut a, pause);
    assert_eq!(step, Step::Read);
    a.step(at(1600), read_late(at(0), 0, None));

    let pause = a.step(then + ms(1500), Input::Read(Err(UNKNOWN)));

    write_for(sleep_on(&mut a, pause).1, WriteKind::Claim);
}

#[test]
fn a_late_read_from_before_a_conflict_does_not_explain_it() {
    let (mut a, claim) = claimant();
    a.step(at(1510), late_outcome(&claim, Outcome::Conflict));

    let step = a.step(at(1520), read_late(at(1505), 9, Some(&free(9))));

    assert_eq!(sleep_on(&mut a, step).1, Step::Read);
}

#[test]
fn a_late_claim_after_its_caller_has_left_begins_no_tenure_and_is_freed() {
    let (mut a, claim) = claimant();
    a.step(at(1500), Input::Release);

    a.step(at(1550), stored_late(&claim, 10));

    assert_eq!(token(&a, 1550), None);
    let (_, step) = sleep_on(&mut a, Step::Sleep(at(1551)));
    write_for(step, WriteKind::Free);
}

#[test]
fn a_late_claim_after_the_end_of_its_hold_begins_no_tenure() {
    let (mut a, claim) = claimant();

    a.step(at(13_000), stored_late(&claim, 10));

    assert_eq!(token(&a, 13_000), None);
}

#[test]
fn a_late_absence_ends_a_tenure_only_if_nothing_was_processed_since() {
    let (mut a, claim) = claimant();
    a.step(at(1550), stored_late(&claim, 10));

    a.step(at(1600), read_late(at(0), 9, None));
    assert_eq!(token(&a, 1600), Some(10), "the read is older than the claim");
    a.step(at(1700), read_late(at(1600), 10, None));

    assert_eq!(a.status.loss, Some(Loss::Deleted));
}

#[test]
fn a_late_read_from_before_the_expiry_does_not_replace_the_read_before_a_takeover() {
    let mut a = waiter();
    let (then, step) = sleep_on(&mut a, Step::Sleep(at(15_000)));
    assert_eq!(step, Step::Read);
    let pause = a.step(then + ms(1500), Input::Read(Err(UNKNOWN)));
    assert_sleeps(&pause);

    let step = a.step(then + ms(1501), read_late(at(14_000), 10, Some(&held(10))));
    assert_eq!(sleep_on(&mut a, step).1, Step::Read);
    let step = a.step(then + ms(1700), read_late(then, 10, Some(&held(10))));
    assert_sleeps(&step);
    let pause = a.step(then + ms(3100), Input::Read(Err(UNKNOWN)));

    write_for(sleep_on(&mut a, pause).1, WriteKind::Claim);
}

#[test]
fn a_late_refusal_is_known_not_to_be_stored() {
    let (mut a, claim) = claimant();
    a.step(at(1500), late_outcome(&claim, Outcome::Failed(REFUSED)));

    a.step(at(1550), stored_late(&claim, 10));

    assert_eq!(token(&a, 1550), None);
}

#[test]
fn a_late_write_that_a_webhook_altered_is_reported_and_begins_no_tenure() {
    let (mut a, claim) = claimant();
    let altered = Record { ttl: Some(secs(60)), ..claim.record.clone() };

    a.step(at(1550), late_outcome(&claim, Outcome::Stored(found("u", 10, altered))));

    assert!(a.status.altered);
    assert_eq!(token(&a, 1550), None);
}

#[test]
fn without_a_permit_nothing_is_sent_and_the_urgency_says_what_would_be() {
    let mut a = machine();
    let claim = Input::Claim(Durations::default());
    let queued = |step: Step| match step {
        Step::Queue { urgency, .. } => urgency,
        other => panic!("expected a request that waits for a permit, not {other:?}"),
    };

    assert_eq!(queued(a.inner.step_without_request(at(0), claim).0), Urgency::Read);
    assert_eq!(a.step(at(1), Input::Wake), Step::Read);
    let step = a.inner.step_without_request(at(2), read(&free(9))).0;
    assert_eq!(queued(step), Urgency::Claim);
    let claim = write_for(a.step(at(3000), Input::Wake), WriteKind::Claim);
    a.step(at(3001), stored(&after(&claim, 10)));
    assert_eq!(a.deadline(), Some(at(16_000)), "the hold counts from the instant of the permit");
    assert_eq!(queued(a.inner.step_without_request(at(8000), Input::Wake).0), Urgency::Tenure);
    let step = a.inner.step_without_request(at(8001), Input::Release).0;
    assert_eq!(queued(step), Urgency::Release);
}

#[test]
fn a_late_read_of_the_state_before_an_absence_is_ignored() {
    let mut a = waiter();
    let (t1, step) = sleep_on(&mut a, Step::Sleep(at(15_000)));
    assert_eq!(step, Step::Read);
    let pause = a.step(t1 + ms(1500), Input::Read(Err(UNKNOWN)));
    let (t2, step) = sleep_on(&mut a, pause);
    assert_eq!(step, Step::Read);
    // Deleted. The record may be created one ttl later.
    let absent_at = t2 + ms(10);
    a.step(absent_at, absent());
    // The first read, evaluated before the deletion.
    let step = a.step(absent_at + ms(10), read_late(t1, 10, Some(&held(10))));
    let (then, step) = sleep_on(&mut a, step);
    assert_eq!(step, Step::Read);
    let step = a.step(then, absent());
    write_for(step, WriteKind::Claim);
}

#[test]
fn a_late_read_of_the_state_before_an_absence_does_not_forget_the_create() {
    let mut a = contender();
    write_for(a.step(at(0), read(&free(9))), WriteKind::Claim);
    let pause = a.step(at(1500), unknown());
    let (t1, step) = sleep_on(&mut a, pause);
    assert_eq!(step, Step::Read);
    let pause = a.step(t1 + ms(1500), Input::Read(Err(UNKNOWN)));
    let (t2, step) = sleep_on(&mut a, pause);
    assert_eq!(step, Step::Read);
    // Pruned in between: create it.
    let step = a.step(t2 + ms(10), absent());
    let create = write_for(step, WriteKind::Claim);
    assert!(create.base.is_none());
    // The first read is answered late, from before the deletion.
    a.step(t2 + ms(2000), read_late(t1, 9, Some(&free(9))));
    a.step(t2 + ms(2010), stored(&after(&create, 12)));
    assert_eq!(token(&a, 5000), Some(12));
}
