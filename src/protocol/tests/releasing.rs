//! Rules 8, 15 and 16: how a tenure is released, and how a withdrawn claim is settled.

use super::*;
use crate::api::error::Loss;

#[test]
fn a_release_ends_the_tenure_before_its_write_is_answered() {
    let (mut a, now) = holder();

    let freeing = write_for(a.step(at(1000), Input::Release), WriteKind::Free);

    assert_eq!((token(&a, 1000), a.status.loss), (None, Some(Loss::Released)));
    assert_eq!((freeing.base, freeing.record.holder), (Some(now), None));
    assert_eq!(a.status(at(1000)).release, Release::Pending, "the outcome is not known yet");
}

#[test]
fn a_stored_release_leaves_nothing_to_do() {
    let (mut a, _) = holder();
    let freeing = written(a.step(at(1000), Input::Release));

    let step = a.step(at(1010), stored(&after(&freeing, 11)));

    assert_eq!(
        (step, a.status(at(1010)).done, a.status(at(1010)).release),
        (Step::Done, true, Release::Done)
    );
}

#[test]
fn a_lost_reply_of_a_release_is_resolved_by_a_read() {
    let (mut a, _) = holder();
    let freeing = written(a.step(at(1000), Input::Release));
    let pause = a.step(at(2500), unknown());

    let (then, step) = wake(&mut a, &pause);
    assert_eq!(step, Step::Read);
    let step = a.step(then, read(&after(&freeing, 11)));

    assert_eq!((step, a.status(then).release), (Step::Done, Release::Done));
}

#[test]
fn a_refused_release_is_pending_until_the_next_attempt() {
    let (mut a, _) = holder();
    written(a.step(at(1000), Input::Release));

    let pause = a.step(at(1010), Input::Wrote(Outcome::Failed(REFUSED)));

    assert!(assert_sleeps(&pause) > at(1011));
    assert_eq!(a.status(at(1011)).release, Release::Pending);
}

#[test]
fn a_release_that_was_not_stored_is_sent_again() {
    let (mut a, now) = holder();
    written(a.step(at(1000), Input::Release));
    let pause = a.step(at(2500), unknown());
    let (then, _) = wake(&mut a, &pause);

    let step = a.step(then, read(&now));

    write_for(step, WriteKind::Free);
}

#[test]
fn a_release_never_changes_the_record_of_a_successor() {
    let (mut a, _) = holder();
    written(a.step(at(14_000), Input::Wake));
    assert_eq!(a.step(at(14_001), conflict()), Step::Read);

    let step = a.step(at(14_002), read(&held(11)));

    assert_eq!((step, a.status(at(14_002)).release), (Step::Done, Release::Done));
}

#[test]
fn a_release_stops_after_one_ttl() {
    let (mut a, _) = holder();
    let mut step = a.step(at(1000), Input::Release);
    let mut now = at(1000);

    while step != Step::Done {
        now = now + ms(1);
        step = match step {
            Step::Write(_) => a.step(now, unknown()),
            Step::Read => a.step(now, Input::Read(Err(UNKNOWN))),
            Step::Sleep(until) => {
                assert!(until >= now, "a sleep until {until:?} must not end before {now:?}");
                now = until;
                a.step(until, Input::Wake)
            }
            Step::Queue { .. } | Step::Done => break,
        };
    }

    assert!((at(16_000)..at(16_010)).contains(&now), "{now:?}");
    assert_eq!((a.status(now).done, a.status(now).release), (true, Release::LeftToExpire));
}

#[test]
fn a_release_stops_after_one_ttl_even_if_retry_after_is_longer() {
    let (mut a, _) = holder();
    written(a.step(at(1000), Input::Release));
    let throttled = Failure { refused: false, retry_after: Some(secs(60)) };

    let step = a.step(at(1001), Input::Wrote(Outcome::Failed(throttled)));

    assert_eq!(step, Step::Sleep(at(16_000)));
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Done);
}

#[test]
fn a_renewal_in_flight_at_the_release_is_freed_when_it_is_stored() {
    let (mut a, _) = holder();
    let renewal = written(a.step(at(5000), Input::Wake));
    assert_eq!(a.step(at(5001), Input::Release), Step::Sleep(Moment::NEVER));

    let freeing = write_for(a.step(at(5010), stored(&after(&renewal, 11))), WriteKind::Free);

    assert_eq!(token(&a, 5010), None);
    assert_eq!(freeing.base.map(|base| base.version.number), Some(number(11)));
}

#[test]
fn a_withdrawn_claim_is_freed_when_it_is_stored() {
    let mut a = contender();
    let write = written(a.step(at(0), absent()));
    a.step(at(1), Input::Release);

    let step = a.step(at(2), stored(&after(&write, 10)));

    assert_eq!(token(&a, 2), None);
    write_for(step, WriteKind::Free);
}

#[test]
fn a_withdrawn_claim_begins_no_tenure_for_the_next_caller() {
    let mut a = contender();
    let write = written(a.step(at(0), absent()));
    a.step(at(1), Input::Release);
    a.step(at(2), Input::Claim(Durations::default()));

    let step = a.step(at(3), stored(&after(&write, 10)));

    assert_eq!(token(&a, 3), None, "each tenure needs a write of its own");
    write_for(step, WriteKind::Claim);
}

#[test]
fn an_unanswered_withdrawn_claim_is_made_impossible_by_a_newer_version() {
    let mut a = contender();
    let claim = written(a.step(at(0), read(&free(9))));
    let pause = a.step(at(1500), unknown());
    a.step(at(1501), Input::Release);
    let (then, step) = wake(&mut a, &pause);
    assert_eq!(step, Step::Read);

    let freeing = write_for(a.step(then, read(&free(9))), WriteKind::Free);

    assert_eq!(freeing.base, claim.base, "only one of the two can be stored");
    assert_eq!(a.step(then, stored(&after(&freeing, 10))), Step::Done);
}

#[test]
fn an_unanswered_withdrawn_takeover_is_read_until_the_version_has_moved_on() {
    let mut a = waiter();
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    written(a.step(at(16_001), read(&held(10))));
    a.step(at(16_002), Input::Release);
    let pause = a.step(at(17_000), unknown());
    let (then, _) = wake(&mut a, &pause);

    let step = a.step(then, read(&held(10)));
    assert!(assert_sleeps(&step) > then, "the record of another holder must not be written to");
    let (then, step) = wake(&mut a, &step);
    assert_eq!(step, Step::Read);

    assert_eq!(
        a.step(then, read(&held(11))),
        Step::Done,
        "the claim cannot be stored on a version that has passed"
    );
}

#[test]
fn a_withdrawn_candidate_waits_for_its_unanswered_create_and_deletes_it() {
    let mut a = machine().temporary();
    a.step(at(0), Input::Claim(Durations::default()));
    let create = written(a.step(at(0), absent()));
    let pause = a.step(at(1500), unknown());
    a.step(at(1501), Input::Release);
    let (then, _) = wake(&mut a, &pause);

    let step = a.step(then, absent());
    assert!(!a.status(then).done && a.status(then).release == Release::Done);
    let (then, step) = wake(&mut a, &step);
    assert_eq!(step, Step::Read);

    let deletion = write_for(a.step(then, read(&after(&create, 10))), WriteKind::Delete);
    assert_eq!(deletion.base, Some(after(&create, 10)), "exactly the record that was read");
    assert_eq!(a.step(then, Input::Wrote(Outcome::Gone)), Step::Done);
}

#[test]
fn a_passed_tenure_ends_first_and_the_next_has_its_own_token() {
    let (mut a, now) = holder();
    let slow = Timing::new(secs(30)).durations();

    let claim = write_for(a.step(at(1000), Input::Pass(slow)), WriteKind::Claim);
    assert_eq!((token(&a, 1000), &claim.base), (None, &Some(now)));
    a.step(at(1010), stored(&after(&claim, 11)));

    assert_eq!((token(&a, 1010), a.deadline()), (Some(11), Some(at(27_000))));
    assert_eq!(claim.record.ttl, Some(secs(30)));
}

#[test]
fn a_machine_without_a_claim_sends_no_request() {
    let mut a = machine();

    for news in [Input::Wake, changed(&held(10)), Input::Missed, Input::Deleted(number(11))] {
        assert_eq!(a.step(at(1), news), Step::Done);
    }
}

#[test]
fn a_successor_seen_before_a_conflict_is_not_written_to() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    a.step(at(5001), changed(&held(11)));
    assert_eq!(a.status.loss, Some(Loss::Taken));
    assert_eq!(a.step(at(5002), conflict()), Step::Read);

    assert_eq!(a.step(at(5003), read(&held(11))), Step::Done);
}

#[test]
fn an_unanswered_withdrawn_create_is_made_impossible_by_a_free_record() {
    let mut a = contender();
    written(a.step(at(0), absent()));
    let pause = a.step(at(1500), unknown());
    a.step(at(1501), Input::Release);
    let (then, _) = wake(&mut a, &pause);

    let freeing = write_for(a.step(then, absent()), WriteKind::Free);

    assert_eq!(freeing.base, None, "only one of the two can be stored");
    assert_eq!(a.step(then, stored(&after(&freeing, 10))), Step::Done);
}

#[test]
fn a_release_after_a_loss_keeps_its_reason() {
    let (mut a, _) = holder();
    a.step(at(1000), changed(&held(11)));

    a.step(at(1001), Input::Release);

    assert_eq!(a.status.loss, Some(Loss::Taken));
}
