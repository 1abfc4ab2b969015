//! Rules 1, 3, 5, 6, 7, 10 and 11: how long a tenure lasts, and what ends it.

use super::*;
use crate::api::error::Loss;

#[test]
fn the_hold_counts_from_the_moment_before_the_write_was_sent() {
    let mut a = contender();
    let write = write_for(a.step(at(100), absent()), WriteKind::Claim);

    a.step(at(1500), stored(&after(&write, 10)));

    assert_eq!(token(&a, 13_099), Some(10));
    assert_eq!(token(&a, 13_100), None);
}

#[test]
fn a_claim_confirmed_after_its_hold_begins_no_tenure() {
    let mut a = contender();
    let write = written(a.step(at(0), absent()));

    let step = a.step(at(13_000), stored(&after(&write, 10)));

    assert_eq!(token(&a, 13_000), None);
    write_for(step, WriteKind::Claim);
}

#[test]
fn a_renewal_is_sent_each_interval_and_its_hold_counts_from_the_send() {
    let (mut a, now) = holder();

    let renewal = write_for(a.step(at(5000), Input::Wake), WriteKind::Renew);
    assert_eq!(renewal.base, Some(now.clone()));
    assert_ne!(renewal.record, now.record, "an identical write would not move the version");
    let step = a.step(at(6000), stored(&after(&renewal, 12)));

    assert_renews(&step, at(5000));
    assert_eq!(a.deadline(), Some(at(18_000)));
}

#[test]
fn tenures_that_began_together_are_not_renewed_together() {
    let due = |seed| {
        let mut a = Machine::new("a".into(), seed, Durations::default());
        a.step(at(0), Input::Claim(Durations::default()));
        let claim = written(a.step(at(0), absent()));
        let step = a.step(at(0), stored(&after(&claim, 10)));
        assert_renews(&step, at(0));
        assert_sleeps(&step) - at(0)
    };
    let slots: std::collections::BTreeSet<_> =
        (0..200).map(|seed| due(seed).as_millis() / 100).collect();

    assert!(slots.len() >= 10, "200 renewals in only {} tenths of a second", slots.len());
}

#[test]
fn the_token_stays_the_same_for_a_tenure_and_is_written_in_each_renewal() {
    let (mut a, _) = holder();

    for round in 1..5 {
        let renewal = written(a.step(at(round * 5000), Input::Wake));
        assert_eq!(renewal.record.token, Some(number(10)));
        let renewed = after(&renewal, 10 + round);
        a.step(at(round * 5000), stored(&renewed));

        assert_eq!(token(&a, round * 5000), Some(10));
        assert_eq!(renewed.token(), Some(number(10)));
    }
}

#[test]
fn a_tenure_ends_at_its_deadline_even_while_a_request_is_in_flight() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));

    let step = a.step(at(13_000), Input::Wake);

    assert_eq!((token(&a, 13_000), a.status.loss), (None, Some(Loss::Expired)));
    assert_eq!(step, Step::Sleep(Moment::NEVER), "the request is still in flight");
}

#[test]
fn a_renewal_confirmed_after_the_deadline_restores_no_tenure_and_is_freed() {
    let (mut a, _) = holder();
    let renewal = written(a.step(at(5000), Input::Wake));
    a.step(at(13_000), Input::Wake);

    let step = a.step(at(13_100), stored(&after(&renewal, 12)));

    assert_eq!(token(&a, 13_100), None);
    write_for(step, WriteKind::Free);
}

#[test]
fn a_holder_paused_longer_than_its_hold_has_lost_when_it_resumes() {
    let (mut a, _) = holder();

    let before = token(&a, 60_000);
    let step = a.step(at(60_000), Input::Wake);

    assert_eq!((before, a.status.loss), (None, Some(Loss::Expired)));
    write_for(step, WriteKind::Free);
}

#[test]
fn a_holder_paused_for_less_than_its_hold_renews_when_it_resumes() {
    let (mut a, _) = holder();

    let step = a.step(at(12_000), Input::Wake);

    write_for(step, WriteKind::Renew);
    assert_eq!(token(&a, 12_000), Some(10));
}

#[test]
fn a_tenure_is_in_doubt_before_it_is_lost() {
    let (mut a, _) = holder();
    assert_eq!(a.doubtful_at(), Some(at(6500)));

    let renewing = a.step(at(5000), Input::Wake);
    assert!(matches!(renewing, Step::Write(_)));
    let next = a.step(at(5001), Input::Wake);

    assert_eq!(next, Step::Sleep(at(6500)), "the machine wakes to report the doubt");
    assert_eq!(a.step(at(6500), Input::Wake), Step::Sleep(at(13_000)));
    assert_eq!(token(&a, 12_999), Some(10));
}

#[test]
fn three_attempts_fit_between_a_due_renewal_and_the_deadline() {
    let (mut a, _) = holder();
    let (mut now, mut sent) = (at(5000), 0);

    while now < at(13_000) {
        now = match a.step(now, Input::Wake) {
            Step::Sleep(until) => until,
            Step::Write(_) => {
                sent += 1;
                let until = now + Durations::default().attempt_timeout();
                wake_after(&mut a, until, unknown())
            }
            Step::Read => {
                sent += 1;
                let until = now + Durations::default().attempt_timeout();
                wake_after(&mut a, until, Input::Read(Err(UNKNOWN)))
            }
            Step::Queue { .. } | Step::Done => panic!("a tenure is held"),
        };
    }

    assert!(sent >= 3, "{sent}");
}

/// Steps with `answer` at `then`. Returns when the next step is due.
fn wake_after(a: &mut Machine, then: Moment, answer: Input) -> Moment {
    let step = a.step(then, answer);
    if then < at(13_000) { assert_sleeps(&step) } else { then }
}

#[test]
fn an_edit_of_other_fields_keeps_the_tenure_and_is_preserved() {
    let (mut a, now) = holder();
    written(a.step(at(5000), Input::Wake));
    let edited = found("u", 11, now.record.clone());

    assert_eq!(a.step(at(5001), conflict()), Step::Read);
    let again = write_for(a.step(at(5002), read(&edited)), WriteKind::Renew);

    assert_eq!(again.base, Some(edited), "the renewal is based on the edited record");
    assert_eq!((token(&a, 5002), a.deadline()), (Some(10), Some(at(13_000))));
}

#[test]
fn an_edit_of_holder_nonce_or_ttl_ends_the_tenure() {
    let (_, now) = holder();
    let own = now.record.clone();
    let twin = Some(nonce(0xb, 1));
    let cases = [
        (Record { holder: Some("b".into()), ..own.clone() }, Loss::Taken),
        (Record { holder: None, ..own.clone() }, Loss::Taken),
        (Record { nonce: twin, ..own.clone() }, Loss::Altered),
        (Record { nonce: None, ..own.clone() }, Loss::Altered),
        (Record { ttl: Some(secs(60)), ..own.clone() }, Loss::Altered),
        (Record { ttl: None, ..own }, Loss::Altered),
    ];
    for (record, loss) in cases {
        let (mut a, _) = holder();

        a.step(at(1000), changed(&found("u", 11, record.clone())));

        assert_eq!((token(&a, 1000), a.status.loss), (None, Some(loss)), "{record:?}");
    }
}

#[test]
fn a_conflict_with_another_holder_ends_the_tenure_and_writes_nothing() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    assert_eq!(a.step(at(5001), conflict()), Step::Read);

    let step = a.step(at(5002), read(&held(11)));

    assert_eq!((token(&a, 5002), a.status.loss), (None, Some(Loss::Taken)));
    assert_eq!(step, Step::Done);
}

#[test]
fn a_claim_altered_by_a_webhook_begins_no_tenure_and_is_reported() {
    let mut a = contender();
    let write = written(a.step(at(0), absent()));
    let other = Record { ttl: Some(secs(3600)), ..write.record };

    let step = a.step(at(1), stored(&found("u", 10, other)));

    assert_eq!(token(&a, 1), None);
    assert!(a.status.altered, "the change is reported");
    assert!(assert_sleeps(&step) >= at(2500), "the claim is retried slowly");
    a.step(at(2), Input::Wake);
    assert!(!a.status.altered, "the change is reported once");
}

#[test]
fn tokens_grow_from_tenure_to_tenure() {
    let (mut a, _) = holder();

    let write = write_for(a.step(at(1000), Input::Pass(Durations::default())), WriteKind::Claim);
    assert_eq!(token(&a, 1000), None, "between two tenures none is held");
    a.step(at(1001), stored(&after(&write, 11)));

    assert_eq!(token(&a, 1001), Some(11));
    assert_eq!(write.record.token, None);
    assert_eq!(write.record.transitions, 0, "the holder is the same");
}
