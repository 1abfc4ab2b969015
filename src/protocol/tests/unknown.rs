//! Rules 2, 13 and 16: writes with an unknown outcome, and writes of twins.

use super::*;
use crate::api::error::Loss;

#[test]
fn a_claim_with_a_lost_reply_is_recognised_and_counts_from_its_send() {
    let mut a = contender();
    let write = written(a.step(at(0), absent()));

    let pause = a.step(at(1500), unknown());
    let (then, step) = wake(&mut a, &pause);
    assert_eq!(step, Step::Read);
    a.step(then + ms(1000), read(&after(&write, 10)));

    assert_eq!(a.deadline(), Some(at(13_000)));
    assert_eq!(token(&a, 12_999), Some(10));
}

#[test]
fn a_stored_answer_without_a_newer_version_is_unknown_and_backs_off() {
    let (mut a, _) = holder();
    let mut now = at(5000);
    let mut step = a.step(now, Input::Wake);

    for failures in 0..4 {
        let write = write_for(step, WriteKind::Renew);
        let same = after(&write, 10);
        let pause = a.step(now, stored(&same));
        let (then, next) = sleep_on(&mut a, pause);
        assert_eq!(next, Step::Read);
        assert!(
            then - now >= ms(50 << failures),
            "a pause of {:?} after {failures} failures",
            then - now
        );
        now = then;
        step = a.step(now, read(&same));
    }
    assert_eq!(a.deadline(), Some(at(13_000)), "the tenure is not renewed");
}

#[test]
fn a_claim_that_was_not_stored_is_sent_again_with_a_new_nonce() {
    let mut a = contender();
    let first = written(a.step(at(0), read(&free(9))));

    let pause = a.step(at(1500), unknown());
    let (then, _) = wake(&mut a, &pause);
    let again = write_for(a.step(then, read(&free(9))), WriteKind::Claim);

    assert_ne!(again.record.nonce, first.record.nonce, "each attempt has its own nonce");
    assert_eq!(token(&a, 1600), None, "an unanswered claim begins no tenure");
}

#[test]
fn a_claim_stored_after_its_timeout_is_recognised_and_counts_from_its_send() {
    let mut a = contender();
    let first = written(a.step(at(0), read(&free(9))));
    let pause = a.step(at(1500), unknown());
    let (then, _) = wake(&mut a, &pause);
    written(a.step(then, read(&free(9))));

    assert_eq!(a.step(at(3000), conflict()), Step::Read, "the first claim is stored");
    a.step(at(3010), read(&after(&first, 10)));

    assert_eq!(a.deadline(), Some(at(13_000)), "counted from the send of the first claim");
}

#[test]
fn a_renewal_with_a_lost_reply_is_recognised() {
    let (mut a, _) = holder();
    let renewal = written(a.step(at(5000), Input::Wake));

    let pause = a.step(at(6500), unknown());
    let (then, step) = wake(&mut a, &pause);
    assert_eq!(step, Step::Read);
    a.step(then, read(&after(&renewal, 11)));

    assert_eq!((token(&a, 17_999), a.deadline()), (Some(10), Some(at(18_000))));
}

#[test]
fn a_renewal_that_was_not_stored_is_sent_again_and_extends_nothing() {
    let (mut a, now) = holder();
    written(a.step(at(5000), Input::Wake));
    let pause = a.step(at(6500), unknown());
    let (then, _) = wake(&mut a, &pause);

    let step = a.step(then, read(&now));

    write_for(step, WriteKind::Renew);
    assert_eq!(a.deadline(), Some(at(13_000)));
}

#[test]
fn a_conflict_with_the_machines_own_write_is_no_loss() {
    let (mut a, _) = holder();
    let renewal = written(a.step(at(5000), Input::Wake));

    assert_eq!(a.step(at(5020), conflict()), Step::Read);
    assert_eq!(token(&a, 5020), Some(10), "the conflict does not show whose write it was");
    a.step(at(5030), read(&after(&renewal, 11)));

    assert_eq!((a.status.loss, a.deadline()), (None, Some(at(18_000))));
}

#[test]
fn a_stored_claim_of_unknown_outcome_is_recognised_in_a_watch_event() {
    let mut a = waiter();
    let taken = take_over(&mut a);
    let write = written(taken);
    let pause = a.step(at(16_100), unknown());
    assert_sleeps(&pause);

    a.step(at(16_200), changed(&after(&write, 11)));

    assert_eq!(token(&a, 16_200), Some(11));
}

/// The step that claims version 10 after its ttl and a read that shows it unchanged.
fn take_over(a: &mut Machine) -> Step {
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    a.step(at(16_010), read(&held(10)))
}

#[test]
fn a_record_with_the_same_identity_but_another_nonce_is_foreign() {
    let mut a = contender();
    let twin = Record { holder: Some("a".into()), ..held_record(1) };

    let step = a.step(at(0), read(&found("u", 10, twin)));

    assert!(
        assert_sleeps(&step) >= at(15_000),
        "the other machine may hold the record for its ttl"
    );
    assert_eq!(token(&a, 0), None);
}

#[test]
fn a_record_with_the_same_identity_but_no_nonce_is_foreign() {
    let mut a = contender();
    let twin = Record { holder: Some("a".into()), nonce: None, ..held_record(1) };

    let step = a.step(at(0), read(&found("u", 10, twin)));

    assert!(assert_sleeps(&step) >= at(15_000));
}

#[test]
fn a_takeover_by_a_twin_ends_the_tenure() {
    let (mut a, _) = holder();
    let twin = Record { holder: Some("a".into()), ..held_record(1) };

    a.step(at(14), changed(&found("u", 11, twin)));

    assert_eq!(a.status.loss, Some(Loss::Altered));
}

#[test]
fn a_twins_record_is_not_taken_for_an_unanswered_write() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    a.step(at(6500), unknown());
    let twin = Record { holder: Some("a".into()), ..held_record(1) };

    a.step(at(6501), changed(&found("u", 11, twin)));

    assert_eq!((token(&a, 6501), a.status.loss), (None, Some(Loss::Altered)));
}

#[test]
fn each_write_has_the_random_number_of_its_step_as_nonce() {
    let mut a = contender();
    let mut nonces = Vec::new();
    let mut write = |a: &Machine, step| {
        let write = written(step);
        nonces.push(write.record.nonce);
        assert_eq!(write.record.nonce, Some(Nonce(a.random)), "{write:?}");
        write
    };

    let step = a.step(at(0), absent());
    let claim = write(&a, step);
    a.step(at(0), stored(&after(&claim, 10)));
    let step = a.step(at(5000), Input::Wake);
    let renewal = write(&a, step);
    a.step(at(5000), stored(&after(&renewal, 11)));
    let step = a.step(at(6000), Input::Pass(Durations::default()));
    let next = write(&a, step);
    a.step(at(6000), stored(&after(&next, 12)));
    let step = a.step(at(7000), Input::Release);
    write(&a, step);

    nonces.sort_unstable_by_key(|nonce| nonce.map(|nonce| nonce.0));
    nonces.dedup();
    assert_eq!(nonces.len(), 4, "a nonce identifies one write");
}

#[test]
fn a_record_of_a_lost_tenure_is_claimed_again_and_never_adopted() {
    let (mut a, now) = holder();
    write_for(a.step(at(13_000), Input::Wake), WriteKind::Free);
    a.step(at(13_001), Input::Claim(Durations::default()));
    let pause = a.step(at(14_500), unknown());
    let (then, step) = sleep_on(&mut a, pause);
    assert_eq!(step, Step::Read);

    let step = a.step(then, read(&now));

    write_for(step, WriteKind::Claim);
    assert_eq!(a.status(then).tenure, None, "the old tenure must not be adopted");
}

#[test]
fn a_write_older_than_the_last_eight_is_treated_as_foreign() {
    let (mut a, now) = holder();
    let first = written(a.step(at(5000), Input::Wake));
    let mut step = a.step(at(5001), unknown());
    for _ in 0..8 {
        let (then, reading) = sleep_on(&mut a, step);
        assert_eq!(reading, Step::Read);
        written(a.step(then, read(&now)));
        step = a.step(then + ms(1), unknown());
    }

    let (then, _) = sleep_on(&mut a, step);
    a.step(then, read(&after(&first, 11)));

    assert_eq!(a.status.loss, Some(Loss::Altered), "a loss is safe");
}

#[test]
fn a_refused_claim_is_sent_again_without_a_read() {
    let mut a = contender();
    written(a.step(at(0), absent()));

    let pause = a.step(at(10), Input::Wrote(Outcome::Failed(REFUSED)));
    let (_, step) = wake(&mut a, &pause);

    write_for(step, WriteKind::Claim);
}

#[test]
fn an_answer_without_a_request_is_ignored() {
    for answer in [read(&held(99)), absent(), unknown(), conflict(), stored(&held(99))] {
        let (mut a, _) = holder();

        let step = a.step(at(1000), answer);

        assert_renews(&step, at(0));
        assert_eq!(token(&a, 1000), Some(10));
    }
}

#[test]
fn a_refused_claim_leaves_nothing_to_settle() {
    let mut a = contender();
    written(a.step(at(0), absent()));
    a.step(at(10), Input::Wrote(Outcome::Failed(REFUSED)));

    let pause = a.step(at(11), Input::Release);

    assert!(a.status(at(11)).done);
    assert_eq!(wake(&mut a, &pause).1, Step::Done);
}

#[test]
fn a_refused_claim_does_not_settle_an_earlier_one() {
    let mut a = contender();
    let first = written(a.step(at(0), read(&free(9))));
    let pause = a.step(at(1500), unknown());
    let (then, _) = wake(&mut a, &pause);
    written(a.step(then, read(&free(9))));
    a.step(then, Input::Wrote(Outcome::Failed(REFUSED)));

    a.step(then + ms(1), changed(&after(&first, 10)));

    assert_eq!((a.status(then + ms(1)).tenure.is_some(), a.deadline()), (true, Some(at(13_000))));
}
