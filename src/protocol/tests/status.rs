//! What the status of a machine reports.

use super::*;

#[test]
fn a_tenure_yields_once_the_record_prefers_another_holder() {
    let (mut a, now) = holder();
    assert!(!a.yields() && !waiter().yields());

    let other = Record { preferred: Some("b".into()), ..now.record.clone() };
    a.step(at(1000), changed(&found("u", 11, other)));

    assert!(a.yields());
}

#[test]
fn the_reported_record_names_the_current_holder() {
    let (a, _) = holder();
    let mut b = waiter();
    assert_eq!(a.holder(), Some("a"));
    assert_eq!(b.holder(), Some("b"));

    b.step(at(1), changed(&free(11)));

    assert_eq!((machine().holder(), b.holder()), (None, None));
}

#[test]
fn a_machine_contends_from_a_claim_until_it_holds() {
    let wanted_and_contending = |a: &Machine| (a.status.wanted, a.status.contending());
    let (mut a, _) = holder();
    assert_eq!(
        (wanted_and_contending(&machine()), wanted_and_contending(&contender())),
        ((false, false), (true, true))
    );
    assert_eq!(wanted_and_contending(&a), (true, false));

    a.step(at(1), Input::Release);

    assert_eq!(wanted_and_contending(&a), (false, false));
}

#[test]
fn a_machine_waits_only_while_barred_and_with_no_request_owed() {
    let mut a = waiter();
    assert!(a.status.waiting && a.wants_watch());
    assert!(!contender().status.waiting, "the record is not known yet");

    a.step(at(1), Input::Missed);
    assert!(!a.status.waiting && a.wants_watch(), "a read is owed");
    assert_eq!(a.step(at(2500), Input::Wake), Step::Read);
    a.step(at(2501), read(&held(10)));
    assert!(a.status.waiting);

    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    assert!(!a.status.waiting && a.wants_watch(), "a read is in flight");
    a.step(at(16_001), Input::Release);
    assert!(!a.wants_watch(), "no tenure is wanted");
}

#[test]
fn a_holder_does_not_wait_and_needs_no_watch() {
    let (mut a, now) = holder();
    let other = Record { preferred: Some("b".into()), ..now.record.clone() };

    a.step(at(1000), changed(&found("u", 11, other)));

    assert!(!a.status.waiting && !a.wants_watch());
}

#[test]
fn a_deleted_record_that_was_held_bars_until_a_fresh_read() {
    let mut a = waiter();
    a.step(at(4000), Input::Deleted(number(11)));
    assert!(a.status.waiting && a.wants_watch());

    a.step(at(19_000), Input::Wake);
    a.step(at(19_001), absent());
    assert!(!a.wants_watch(), "the record is being created");

    let mut b = contender();
    b.step(at(0), absent());
    assert!(!b.wants_watch(), "a record that never existed bars nothing");
}

#[test]
fn a_foreign_record_is_overdue_once_it_was_unchanged_for_its_ttl() {
    let a = waiter();
    assert_eq!([14_999, 15_000, 15_001].map(|ms| a.is_overdue(at(ms))), [false, true, true]);

    let (own, _) = holder();
    assert!(!own.is_overdue(at(60_000)) && !machine().is_overdue(at(60_000)));
}

#[test]
fn a_machine_is_failing_from_a_failure_until_a_useful_answer() {
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
fn outdated_answers_for_a_ttl_are_a_regression() {
    let mut a = waiter();
    a.step(at(10), changed(&held(20)));
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    assert!(!a.status.regressed);

    a.step(at(16_000), read(&free(19)));
    assert!(!a.status.regressed);
    for (ms, regressed) in [(30_999, false), (31_000, true)] {
        let mut b = a.clone();
        assert_eq!(b.step(at(ms), Input::Wake), Step::Read);
        b.step(at(ms), read(&free(19)));
        assert_eq!(b.status.regressed, regressed);
    }

    a.step(at(31_002), changed(&held(21)));
    assert!(!a.status.regressed);
}

#[test]
fn the_highest_version_includes_deletions() {
    let mut a = waiter();
    assert_eq!((machine().status.highest, a.status.highest), (0, 10));

    a.step(at(1), Input::Deleted(number(12)));

    assert_eq!((a.status.highest, a.status.attempt_timeout), (12, ms(1500)));
}

#[test]
fn a_machine_is_not_done_while_a_tenure_is_wanted_or_a_request_is_in_flight() {
    assert!(machine().status(at(0)).done);
    assert!(!waiter().status(at(0)).done && !holder().0.status(at(0)).done);

    let mut a = contender();
    a.step(at(0), Input::Release);
    assert!(!a.status(at(0)).done && !a.status(at(60_000)).done, "a read is in flight");
    a.step(at(1), absent());
    assert!(a.status(at(1)).done);
}

#[test]
fn an_unanswered_release_is_done_after_one_ttl() {
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
fn an_unanswered_withdrawn_claim_is_done_after_one_ttl() {
    let mut a = contender();
    written(a.step(at(0), absent()));
    a.step(at(1000), Input::Release);
    a.step(at(2000), unknown());

    assert_eq!([2000, 15_999, 16_000].map(|ms| a.status(at(ms)).done), [false, false, true]);
}

#[test]
fn the_release_of_a_withdrawn_takeover_is_pending_until_a_read() {
    let mut a = waiter();
    a.step(at(16_000), Input::Wake);
    written(a.step(at(16_001), read(&held(10))));
    assert_eq!(a.status(at(16_001)).release, Release::Done, "there is nothing to release");

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
fn a_watch_event_ends_a_failure_of_reads() {
    for event in [changed(&held(11)), Input::Deleted(number(11)), Input::Missed] {
        let mut a = waiter();
        assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
        a.step(at(17_500), Input::Read(Err(UNKNOWN)));
        assert!(a.status.failing && a.status.read_failing);

        a.step(at(17_501), event.clone());

        assert!(!a.status.failing && !a.status.read_failing, "{event:?}");
    }
}

#[test]
fn an_event_of_the_same_version_ends_a_failure_of_reads_unless_a_read_is_owed() {
    let mut poller = waiter();
    let step = poller.step(at(0), Input::Blind);
    let (read_at, step) = wake(&mut poller, &step);
    assert_eq!(step, Step::Read);
    poller.step(read_at + ms(1), Input::Read(Err(UNKNOWN)));
    poller.step(read_at + ms(2), changed(&held(10)));
    assert!(!poller.status.failing, "a watch shows what the read was for");

    let mut before_takeover = waiter();
    assert_eq!(before_takeover.step(at(16_000), Input::Wake), Step::Read);
    before_takeover.step(at(17_500), Input::Read(Err(UNKNOWN)));
    before_takeover.step(at(17_501), changed(&held(10)));
    assert!(before_takeover.status.failing, "only a read can precede the takeover");

    let mut asked = waiter();
    assert_eq!(asked.step(at(1000), Input::Look), Step::Read);
    asked.step(at(1001), changed(&held(10)));
    asked.step(at(2500), Input::Read(Err(UNKNOWN)));
    assert!(asked.status.failing, "a new caller gets the error of the read that it asked for");
}

#[test]
fn a_read_that_fails_after_a_watch_event_is_no_failure() {
    let mut a = waiter();
    assert_eq!(a.step(at(16_000), Input::Wake), Step::Read);
    a.step(at(16_001), changed(&held(11)));

    a.step(at(17_500), Input::Read(Err(UNKNOWN)));

    assert!(!a.status.failing, "the record is known");
}

#[test]
fn a_watch_event_ends_no_failure_of_writes_and_an_older_one_no_failure_of_reads() {
    let mut a = contender();
    written(a.step(at(0), read(&free(9))));
    a.step(at(1), Input::Wrote(Outcome::Failed(REFUSED)));
    a.step(at(2), changed(&free(10)));
    assert!(a.status.failing);

    let mut b = waiter();
    assert_eq!(b.step(at(16_000), Input::Wake), Step::Read);
    b.step(at(16_001), Input::Read(Err(UNKNOWN)));
    b.step(at(16_002), changed(&held(9)));
    assert!(b.status.failing, "an older state says nothing about the store now");
}
