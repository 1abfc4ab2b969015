//! What the floors below are told of a machine.

use super::*;

#[test]
fn a_tenure_is_said_to_yield_only_once_the_record_asks_for_another_holder() {
    let (mut a, now) = holder();
    assert!(!a.yields() && !waiter().yields());

    let other = Record { preferred: Some("b".into()), ..now.record.clone() };
    a.step(at(1000), changed(&found("u", 11, other)));

    assert!(a.yields());
}

#[test]
fn the_holder_is_whom_the_record_names() {
    let (a, _) = holder();
    let mut b = waiter();
    assert_eq!(a.holder(), Some("a"));
    assert_eq!(b.holder(), Some("b"));

    b.step(at(1), changed(&free(11)));

    assert_eq!((machine().holder(), b.holder()), (None, None));
}

#[test]
fn whoever_wants_a_tenure_contends_until_it_has_one() {
    let told = |a: &Machine| (a.status.wanted, a.status.contending());
    let (mut a, _) = holder();
    assert_eq!((told(&machine()), told(&contender())), ((false, false), (true, true)));
    assert_eq!(told(&a), (true, false));

    a.step(at(1), Input::Release);

    assert_eq!(told(&a), (false, false));
}

#[test]
fn only_whoever_is_barred_and_has_asked_all_it_must_waits() {
    let mut a = waiter();
    assert!(a.status.waiting && a.wants_watch());
    assert!(!contender().status.waiting, "it reads, and knows nothing yet");

    a.step(at(1), Input::Missed);
    assert!(!a.status.waiting && a.wants_watch(), "it is about to read");
    assert_eq!(a.step(at(2500), Input::Wake), Step::Read);
    a.step(at(2501), read(&held(10)));
    assert!(a.status.waiting);

    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    assert!(!a.status.waiting && a.wants_watch(), "it reads");
    a.step(at(16_001), Input::Release);
    assert!(!a.wants_watch(), "nothing is wanted");
}

#[test]
fn whoever_holds_waits_for_nobody() {
    let (mut a, now) = holder();
    let other = Record { preferred: Some("b".into()), ..now.record.clone() };

    a.step(at(1000), changed(&found("u", 11, other)));

    assert!(!a.status.waiting && !a.wants_watch());
}

#[test]
fn whoever_knew_what_is_gone_to_be_held_is_barred_until_a_fresh_look() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));
    assert!(a.status.waiting && a.wants_watch());

    a.step(at(19_000), Input::Wake);
    a.step(at(19_001), absent());
    assert!(!a.wants_watch(), "it creates it");

    let mut b = contender();
    b.step(at(0), absent());
    assert!(!b.wants_watch(), "it was never there");
}

#[test]
fn somebody_elses_record_is_overdue_once_it_was_unchanged_for_its_time_to_live() {
    let a = waiter();
    assert_eq!([14_999, 15_000, 15_001].map(|ms| a.is_overdue(at(ms))), [false, true, true]);

    let (own, _) = holder();
    assert!(!own.is_overdue(at(60_000)) && !machine().is_overdue(at(60_000)));
}

#[test]
fn a_backend_fails_from_its_last_answer_on_until_a_useful_one() {
    let mut a = contender();
    assert!(!a.status.failing);
    let pause = a.step(at(0), Input::Read(Err(UNKNOWN)));
    assert!(a.status.failing);

    let (then, _) = wake(&mut a, &pause);
    written(a.step(then, absent()));
    assert!(!a.status.failing);

    a.step(then, Input::Wrote(Outcome::Failed(REFUSED)));
    assert!(a.status.failing);
}

#[test]
fn answers_that_are_all_too_old_are_a_backup_after_a_time_to_live() {
    let mut a = waiter();
    a.step(at(10), changed(&held(20)));
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    assert!(!a.status.regressed);

    a.step(at(16_000), read(&free(19)));
    assert!(!a.status.regressed);
    for (ms, told) in [(30_999, false), (31_000, true)] {
        let mut b = a.clone();
        assert_eq!(b.step(at(ms), Input::Wake), Step::Read);
        b.step(at(ms), read(&free(19)));
        assert_eq!(b.status.regressed, told);
    }

    a.step(at(31_002), changed(&held(21)));
    assert!(!a.status.regressed);
}

#[test]
fn the_highest_version_is_that_of_what_was_told_last() {
    let mut a = waiter();
    assert_eq!((machine().status.highest, a.status.highest), (0, 10));

    a.step(at(1), Input::Deleted(number(12)));

    assert_eq!((a.status.highest, a.status.attempt_timeout), (12, ms(1500)));
}

#[test]
fn nothing_is_done_while_a_tenure_is_wanted_or_a_request_is_under_way() {
    assert!(machine().status(at(0)).done);
    assert!(!waiter().status(at(0)).done && !holder().0.status(at(0)).done);

    let mut a = contender();
    a.step(at(0), Input::Release);
    assert!(!a.status(at(0)).done && !a.status(at(60_000)).done, "a read");
    a.step(at(1), absent());
    assert!(a.status(at(1)).done);
}

#[test]
fn what_is_left_of_a_tenure_is_not_done_until_its_time_to_live_has_done_it() {
    let (mut a, _) = holder();
    written(a.step(at(1000), Input::Release));
    a.step(at(2000), unknown());

    assert_eq!([2000, 15_999, 16_000].map(|ms| a.status(at(ms)).done), [false, false, true]);
    assert_eq!(
        [15_999, 16_000].map(|ms| a.status(at(ms)).release),
        [Release::Pending, Release::LeftToExpire]
    );
}

#[test]
fn what_may_still_come_is_not_done_until_its_time_to_live_has_done_it() {
    let mut a = contender();
    written(a.step(at(0), absent()));
    a.step(at(1000), Input::Release);
    a.step(at(2000), unknown());

    assert_eq!([2000, 15_999, 16_000].map(|ms| a.status(at(ms)).done), [false, false, true]);
}

#[test]
fn whether_a_withdrawn_takeover_has_left_is_unknown_while_it_is_under_way_or_to_be_read_up() {
    let mut a = waiter();
    a.step(at(16_000), Input::Wake);
    written(a.step(at(16_001), read(&held(10))));
    assert_eq!(a.status(at(16_001)).release, Release::Done, "nothing was given back");

    a.step(at(16_002), Input::Release);
    assert_eq!(
        [31_001, 31_002].map(|ms| a.status(at(ms)).release),
        [Release::Pending, Release::LeftToExpire]
    );
    let pause = a.step(at(17_000), unknown());
    assert_eq!(
        [31_001, 31_002].map(|ms| a.status(at(ms)).release),
        [Release::Pending, Release::LeftToExpire]
    );

    let (then, _) = wake(&mut a, &pause);
    a.step(then, read(&held(11)));
    assert_eq!(a.status(then).release, Release::Done);
}

#[test]
fn news_from_a_watch_ends_a_failure_of_reads() {
    for news in [changed(&held(11)), changed(&held(10)), Input::Deleted(number(11)), Input::Missed]
    {
        let mut a = waiter();
        assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
        a.step(at(17_500), Input::Read(Err(UNKNOWN)));
        assert!(a.status.failing && a.status.read_failing);

        a.step(at(17_501), news.clone());

        assert!(!a.status.failing && !a.status.read_failing, "{news:?}");
    }
}

#[test]
fn a_read_that_fails_after_news_from_a_watch_is_no_failure() {
    let mut a = waiter();
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    a.step(at(16_001), changed(&held(11)));

    a.step(at(17_500), Input::Read(Err(UNKNOWN)));

    assert!(!a.status.failing, "the record is known");
}

#[test]
fn news_from_a_watch_neither_ends_a_failure_of_writes_nor_hides_a_restored_backup() {
    let mut a = contender();
    written(a.step(at(0), read(&free(9))));
    a.step(at(1), Input::Wrote(Outcome::Failed(REFUSED)));
    a.step(at(2), changed(&free(10)));
    assert!(a.status.failing);

    let mut b = waiter();
    assert_eq!(b.step(at(16_000), Input::Wake), Step::Read);
    b.step(at(16_001), Input::Read(Err(UNKNOWN)));
    b.step(at(16_002), changed(&held(9)));
    assert!(b.status.failing, "an older state is no news");
}
