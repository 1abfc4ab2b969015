//! Rules 10 and 11: the record is deleted.

use super::*;
use crate::api::error::Loss;

#[test]
fn a_watch_event_of_a_deletion_ends_the_tenure_at_once() {
    let (_, now) = holder();
    let recreated = found("u2", 11, now.record.clone());
    for event in [Input::Deleted(number(11)), changed(&recreated)] {
        let (mut a, _) = holder();

        a.step(at(1000), event);

        assert_eq!((token(&a, 1000), a.status.loss), (None, Some(Loss::Deleted)));
    }
}

#[test]
fn a_read_of_no_record_ends_the_tenure_at_once() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    assert_eq!(a.step(at(5001), conflict()), Step::Read);

    a.step(at(5002), absent());

    assert_eq!((token(&a, 5002), a.status.loss), (None, Some(Loss::Deleted)));
}

#[test]
fn a_late_event_of_an_older_deletion_is_ignored() {
    let (mut a, _) = holder();

    a.step(at(1000), Input::Deleted(number(9)));

    assert_eq!(token(&a, 1000), Some(10));
}

#[test]
fn a_deleted_record_that_was_held_is_created_only_after_its_ttl_and_a_read() {
    let mut a = waiter();

    let step = a.step(at(4000), Input::Deleted(number(11)));
    assert_eq!(step, Step::Sleep(at(19_000)), "the holder may not have noticed the deletion");
    assert_eq!(a.step(at(19_000), Input::Wake), Step::Read, "one read right before the create");

    let create = write_for(a.step(at(19_001), absent()), WriteKind::Claim);
    assert_eq!(create.base, None);
}

#[test]
fn a_second_deletion_event_does_not_restart_the_wait() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));

    let step = a.step(at(9000), Input::Deleted(number(12)));

    assert_eq!(step, Step::Sleep(at(19_000)));
}

#[test]
fn a_deleted_record_that_was_free_is_created_at_once() {
    let mut a = contender();
    written(a.step(at(0), read(&free(10))));
    assert_eq!(a.step(at(5), conflict()), Step::Read);

    let create = write_for(a.step(at(6), absent()), WriteKind::Claim);

    assert_eq!(create.base, None);
}

#[test]
fn a_contender_that_held_the_deleted_record_creates_it_at_once() {
    let (mut a, _) = holder();
    assert_eq!(a.step(at(1000), Input::Deleted(number(11))), Step::Done);

    let create = write_for(a.step(at(1001), Input::Claim(Durations::default())), WriteKind::Claim);

    assert_eq!(create.base, None);
}

#[test]
fn a_record_created_again_by_another_process_restarts_the_wait() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));

    let recreated = found("u2", 12, held_record(1));
    let step = a.step(at(6000), changed(&recreated));

    assert!(assert_sleeps(&step) >= at(21_000));
}

#[test]
fn a_new_uid_reveals_a_missed_deletion_and_restarts_the_wait() {
    let mut a = waiter();

    let step = a.step(at(6000), changed(&found("u2", 12, held_record(1))));

    assert!(assert_sleeps(&step) >= at(21_000));
}

#[test]
fn a_late_event_of_the_state_before_a_deletion_is_ignored() {
    let mut by_event = waiter();
    let step = by_event.step(at(4000), Input::Deleted(number(11)));
    assert_eq!(by_event.step(at(5000), changed(&held(10))), step);

    let mut by_read = waiter();
    let reading = by_read.step(at(15_600), Input::Wake);
    assert_eq!(reading, Step::Read);
    let step = by_read.step(at(15_610), absent());
    assert_eq!(
        by_read.step(at(16_000), changed(&held(10))),
        step,
        "the event must be ignored although the absence has no version"
    );
}

#[test]
fn the_version_of_a_deletion_is_never_a_token() {
    let mut a = contender();
    let create = written(a.step(at(0), absent()));

    let step = a.step(at(1), Input::Deleted(number(11)));
    assert_eq!((token(&a, 1), step), (None, Step::Sleep(Moment::NEVER)));
    let step = a.step(at(2), stored(&after(&create, 10)));

    assert_eq!(token(&a, 2), None, "the deletion is newer than the create");
    write_for(step, WriteKind::Claim);
}

#[test]
fn a_read_of_no_record_is_repeated_if_a_newer_event_arrived_meanwhile() {
    let mut a = contender();
    assert_eq!(a.step(at(1), changed(&held(10))), Step::Sleep(Moment::NEVER));

    let step = a.step(at(2), absent());
    let (then, step) = wake(&mut a, &step);

    assert_eq!(step, Step::Read);
    assert!(assert_sleeps(&a.step(then, read(&held(10)))) >= at(15_001));
}

#[test]
fn repeated_events_of_a_missed_record_cause_few_reads() {
    let mut a = waiter();
    let mut reads = 0;

    for event in 1..1000 {
        if a.step(at(event * 10), Input::Missed) == Step::Read {
            reads += 1;
            a.step(at(event * 10), read(&held(10)));
        }
    }

    assert!((1..=5).contains(&reads), "{reads} reads in 10 s");
}

#[test]
fn a_read_in_flight_when_a_watch_misses_the_record_is_repeated() {
    let mut a = waiter();
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    a.step(at(16_001), Input::Missed);

    let step = a.step(at(16_002), read(&held(10)));

    assert_eq!(step, Step::Read, "the first read was sent before the record was missed");
    assert_eq!(a.step(at(16_003), absent()), Step::Sleep(at(31_003)));
}

#[test]
fn a_claim_in_flight_when_a_watch_misses_the_record_is_checked_by_a_read() {
    let mut a = contender();
    let write = written(a.step(at(0), absent()));
    a.step(at(1), Input::Missed);

    let step = a.step(at(2), stored(&after(&write, 10)));
    assert_eq!((token(&a, 2), step), (Some(10), Step::Read));
    a.step(at(3), absent());

    assert_eq!((token(&a, 3), a.status.loss), (None, Some(Loss::Deleted)));
}

#[test]
fn a_repeated_deletion_event_does_not_replace_the_read_before_a_create() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));

    let step = a.step(at(19_001), Input::Deleted(number(11)));

    assert_eq!(step, Step::Read, "another process may have created the record since");
}

#[test]
fn a_read_of_no_record_that_is_older_than_an_event_keeps_the_tenure() {
    let (mut a, now) = holder();
    assert_eq!(a.step(at(1000), Input::Missed), Step::Read);
    a.step(at(1001), changed(&found("u", 11, now.record.clone())));

    let step = a.step(at(1002), absent());
    let (_, step) = wake(&mut a, &step);

    assert_eq!((token(&a, 1002), step), (Some(10), Step::Read));
}

#[test]
fn a_holder_reads_at_once_when_a_watch_misses_its_record() {
    let (mut a, _) = holder();

    assert_eq!(
        a.step(at(1000), Input::Missed),
        Step::Read,
        "a holder must not wait: it has lost if the record is gone"
    );
}

#[test]
fn a_late_older_event_does_not_replace_the_read_of_a_missed_record() {
    for older in [9, 10] {
        let mut a = waiter();
        let step = a.step(at(1000), Input::Missed);
        assert_eq!(a.step(at(1001), changed(&held(older))), step);

        assert_eq!(wake(&mut a, &step).1, Step::Read);
    }
}

#[test]
fn a_newer_event_replaces_the_read_of_a_missed_record() {
    let mut a = waiter();
    let step = a.step(at(1000), Input::Missed);
    a.step(at(1001), changed(&held(11)));

    let (_, step) = wake(&mut a, &step);

    assert!(assert_sleeps(&step) >= at(16_001));
}

#[test]
fn a_failed_read_is_repeated_if_a_watch_missed_the_record_meanwhile() {
    let mut a = waiter();
    let poll = a.step(at(0), Input::Blind);
    let (then, reading) = wake(&mut a, &poll);
    assert_eq!(reading, Step::Read);
    a.step(then, Input::Missed);

    let pause = a.step(then + ms(1), Input::Read(Err(UNKNOWN)));

    assert!(assert_sleeps(&pause) < at(6000));
    assert_eq!(wake(&mut a, &pause).1, Step::Read);
}
