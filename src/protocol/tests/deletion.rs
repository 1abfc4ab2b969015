//! Rule 10, and what rule 11 says of it: the record disappears.

use super::*;
use crate::api::error::Loss;

#[test]
fn a_holder_whose_record_is_gone_has_lost_at_once() {
    let (_, now) = holder();
    let anew = found("u2", 11, now.record.clone());
    for news in [Input::Deleted(number(11)), changed(&anew)] {
        let (mut a, _) = holder();

        a.step(at(1000), news);

        assert_eq!((token(&a, 1000), a.status.loss), (None, Some(Loss::Deleted)));
    }
}

#[test]
fn a_holder_that_reads_that_its_record_is_gone_has_lost_at_once() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    assert_eq!(a.step(at(5001), conflict()), Step::Read);

    a.step(at(5002), absent());

    assert_eq!((token(&a, 5002), a.status.loss), (None, Some(Loss::Deleted)));
}

#[test]
fn an_old_deletion_told_late_ends_nothing() {
    let (mut a, _) = holder();

    a.step(at(1000), Input::Deleted(number(9)));

    assert_eq!(token(&a, 1000), Some(10));
}

#[test]
fn whoever_knew_a_record_to_be_held_creates_it_only_after_its_time_to_live() {
    let mut a = waiter();

    let step = a.step(at(4000), Input::Deleted(number(11)));
    assert_eq!(step, Step::Sleep(at(19_000)), "its holder may not have noticed");
    assert_eq!(a.step(at(19_000), Input::Wake), Step::Read, "and one fresh read");

    let create = write_for(a.step(at(19_001), absent()), WriteKind::Claim);
    assert_eq!(create.base, None);
}

#[test]
fn to_read_again_that_it_is_gone_starts_nothing_over() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));

    let step = a.step(at(9000), Input::Deleted(number(12)));

    assert_eq!(step, Step::Sleep(at(19_000)));
}

#[test]
fn whoever_knew_it_to_be_free_creates_it_at_once() {
    let mut a = contender();
    written(a.step(at(0), read(&free(10))));
    assert_eq!(a.step(at(5), conflict()), Step::Read);

    let create = write_for(a.step(at(6), absent()), WriteKind::Claim);

    assert_eq!(create.base, None);
}

#[test]
fn whoever_held_it_creates_it_at_once() {
    let (mut a, _) = holder();
    assert_eq!(a.step(at(1000), Input::Deleted(number(11))), Step::Done);

    let create = write_for(a.step(at(1001), Input::Claim(Durations::default())), WriteKind::Claim);

    assert_eq!(create.base, None);
}

#[test]
fn a_record_made_anew_by_somebody_else_is_waited_for_from_the_start() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));

    let anew = found("u2", 12, held_record(1));
    let step = a.step(at(6000), changed(&anew));

    assert!(assert_sleeps(&step) >= at(21_000));
}

#[test]
fn a_deletion_that_no_watch_has_told_is_seen_by_the_uid() {
    let mut a = waiter();

    let step = a.step(at(6000), changed(&found("u2", 12, held_record(1))));

    assert!(assert_sleeps(&step) >= at(21_000));
}

#[test]
fn the_last_state_before_a_deletion_told_late_does_not_bring_it_back() {
    let mut told = waiter();
    let step = told.step(at(4000), Input::Deleted(number(11)));
    assert_eq!(told.step(at(5000), changed(&held(10))), step);

    let mut read = waiter();
    let reading = read.step(at(15_600), Input::Wake);
    assert_eq!(reading, Step::Read);
    let step = read.step(at(15_610), absent());
    assert_eq!(read.step(at(16_000), changed(&held(10))), step, "an absence has no version");
}

#[test]
fn a_version_of_a_deletion_is_never_a_token() {
    let mut a = contender();
    let create = written(a.step(at(0), absent()));

    let step = a.step(at(1), Input::Deleted(number(11)));
    assert_eq!((token(&a, 1), step), (None, Step::Sleep(Moment::NEVER)));
    let step = a.step(at(2), stored(&after(&create, 10)));

    assert_eq!(token(&a, 2), None, "it was deleted after that");
    write_for(step, WriteKind::Claim);
}

#[test]
fn an_absence_read_while_something_newer_was_told_is_read_again() {
    let mut a = contender();
    assert_eq!(a.step(at(1), changed(&held(10))), Step::Sleep(Moment::NEVER));

    let step = a.step(at(2), absent());
    let (then, step) = wake(&mut a, &step);

    assert_eq!(step, Step::Read);
    assert!(assert_sleeps(&a.step(then, read(&held(10)))) >= at(15_001));
}

#[test]
fn a_record_that_a_new_watch_does_not_find_is_read_however_often_that_is_told() {
    let mut a = waiter();
    let mut reads = 0;

    for told in 1..1000 {
        if a.step(at(told * 10), Input::Missed) == Step::Read {
            reads += 1;
            a.step(at(told * 10), read(&held(10)));
        }
    }

    assert!((1..=5).contains(&reads), "{reads} reads in 10 s");
}

#[test]
fn an_answer_under_way_when_the_record_was_missed_may_be_older_than_that() {
    let mut a = waiter();
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    a.step(at(16_001), Input::Missed);

    let step = a.step(at(16_002), read(&held(10)));

    assert_eq!(step, Step::Read, "sent after it was missed");
    assert_eq!(a.step(at(16_003), absent()), Step::Sleep(at(31_003)));
}

#[test]
fn a_claim_stored_when_the_record_was_missed_may_be_what_is_gone() {
    let mut a = contender();
    let write = written(a.step(at(0), absent()));
    a.step(at(1), Input::Missed);

    let step = a.step(at(2), stored(&after(&write, 10)));
    assert_eq!((token(&a, 2), step), (Some(10), Step::Read));
    a.step(at(3), absent());

    assert_eq!((token(&a, 3), a.status.loss), (None, Some(Loss::Deleted)));
}

#[test]
fn a_deletion_told_once_more_is_no_fresh_look() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));

    let step = a.step(at(19_001), Input::Deleted(number(11)));

    assert_eq!(step, Step::Read, "somebody may have made it anew since");
}

#[test]
fn an_absence_older_than_what_a_watch_has_told_ends_nothing() {
    let (mut a, now) = holder();
    assert_eq!(a.step(at(1000), Input::Missed), Step::Read);
    a.step(at(1001), changed(&found("u", 11, now.record.clone())));

    let step = a.step(at(1002), absent());
    let (_, step) = wake(&mut a, &step);

    assert_eq!((token(&a, 1002), step), (Some(10), Step::Read));
}

#[test]
fn a_holder_whose_record_was_missed_reads_at_once() {
    let (mut a, _) = holder();

    assert_eq!(a.step(at(1000), Input::Missed), Step::Read, "others need not wait for a reader");
}

#[test]
fn what_was_missed_is_read_although_an_older_state_is_told_late() {
    for older in [9, 10] {
        let mut a = waiter();
        let step = a.step(at(1000), Input::Missed);
        assert_eq!(a.step(at(1001), changed(&held(older))), step);

        assert_eq!(wake(&mut a, &step).1, Step::Read);
    }
}

#[test]
fn what_was_missed_and_is_told_to_be_there_again_needs_no_read() {
    let mut a = waiter();
    let step = a.step(at(1000), Input::Missed);
    a.step(at(1001), changed(&held(11)));

    let (_, step) = wake(&mut a, &step);

    assert!(assert_sleeps(&step) >= at(16_001));
}

#[test]
fn what_was_missed_during_a_read_that_fails_is_read_again() {
    let mut a = waiter();
    let poll = a.step(at(0), Input::Blind);
    let (then, reading) = wake(&mut a, &poll);
    assert_eq!(reading, Step::Read);
    a.step(then, Input::Missed);

    let pause = a.step(then + ms(1), Input::Read(Err(UNKNOWN)));

    assert!(assert_sleeps(&pause) < at(6000));
    assert_eq!(wake(&mut a, &pause).1, Step::Read);
}
