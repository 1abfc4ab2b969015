//! Rules 4 and 9: when a record of another holder may be claimed.

use super::*;

/// Sleeps as `step` says, expects a read, and answers it with `now` after 5 ms.
#[track_caller]
fn wake_and_read(a: &mut Machine, step: &Step, now: &Arc<Versioned>) -> (Moment, Step) {
    let (then, reading) = wake(a, step);
    assert_eq!(reading, Step::Read, "one read right before a takeover");
    let then = then + ms(5);
    (then, a.step(then, read(now)))
}

#[test]
fn a_record_is_claimed_after_a_ttl_unchanged_and_a_read() {
    let mut a = contender();
    let step = a.step(at(100), read(&held(10)));
    let take = assert_sleeps(&step);
    assert!(at(15_100) <= take && take <= at(15_600), "{take:?}");
    assert_eq!(a.step(at(15_099), Input::Wake), step);

    let (_, claim) = wake_and_read(&mut a, &step, &held(10));

    let claim = write_for(claim, WriteKind::Claim);
    assert_eq!(claim.base.map(|base| base.version.number), Some(number(10)));
}

#[test]
fn a_renewal_restarts_the_wait() {
    let mut a = waiter();
    let step = a.step(at(14_000), changed(&held(11)));
    assert!(assert_sleeps(&step) >= at(29_000));

    let (then, again) = wake_and_read(&mut a, &step, &held(12));

    assert!(assert_sleeps(&again) >= then + secs(15), "the wait is a full ttl again");
}

#[test]
fn a_repeated_event_does_not_restart_the_wait() {
    let mut a = waiter();
    let step = a.step(at(1), Input::Wake);

    for event in 2..100 {
        assert_eq!(a.step(at(event * 100), changed(&held(10))), step);
    }
}

#[test]
fn a_repeated_read_does_not_restart_the_wait() {
    let mut a = waiter();

    assert_eq!(a.step(at(9000), Input::Look), Step::Read);
    let step = a.step(at(9001), read(&held(10)));

    assert!(assert_sleeps(&step) <= at(15_500), "the wait counts from the first read");
}

#[test]
fn a_single_try_fails_by_an_answer_and_not_by_news_that_may_be_old() {
    // The read that the call owes is not sent yet, or is under way, when old news come.
    let mut a = waiter();
    assert_eq!(a.step(at(9000), Input::Try), Step::Read);
    a.step(at(9001), changed(&held(11)));
    assert!(!a.status.waiting, "the answer to the read decides");
    a.step(at(9002), read(&free(12)));
    assert!(!a.status.waiting);

    // The record was free when it was last seen. The claim conflicts, and old news explain why.
    let mut a = machine();
    a.step(at(0), Input::Claim(Durations::default()));
    a.step(at(1), read(&free(10)));
    a.step(at(9000), Input::Try);
    a.step(at(9001), changed(&held(11)));
    assert_eq!(a.step(at(9002), conflict()), Step::Read);
    assert!(!a.status.waiting);
    a.step(at(9003), read(&held(11)));
    assert!(a.status.waiting, "now it is known to be held");
}

#[test]
fn a_late_older_event_is_ignored() {
    let mut a = waiter();
    let step = a.step(at(1), Input::Wake);

    assert_eq!(a.step(at(9000), changed(&free(9))), step);
    assert_eq!(a.seen().map(|seen| seen.version.number), Some(number(10)));
}

#[test]
fn the_wait_is_the_ttl_of_the_record() {
    let longest = u64::try_from(i32::MAX).unwrap();
    for (ttl, lives) in [
        (Some(secs(60)), 60),
        (Some(secs(3)), 3),
        (None, 15),
        (Some(secs(0)), 15),
        (Some(secs(longest)), longest),
    ] {
        let mut a = contender();
        let record = Record { ttl, ..held_record(1) };
        let latest = at(lives * 1000 + (lives * 1000 / 30).min(500));

        let take = assert_sleeps(&a.step(at(0), read(&found("u", 10, record))));

        assert!(at(lives * 1000) <= take && take <= latest, "{ttl:?}: {take:?}");
    }
}

#[test]
fn written_times_never_decide() {
    for age in [None, Some(Duration::ZERO), Some(secs(86_400)), Some(Duration::MAX)] {
        let mut a = contender();
        let record = Arc::new(Versioned { age, ..(*held(10)).clone() });

        let take = assert_sleeps(&a.step(at(0), read(&record)));

        assert!(take >= at(15_000), "{age:?}");
    }
}

#[test]
fn a_lost_race_restarts_the_wait() {
    let mut a = waiter();
    let step = a.step(at(1), Input::Wake);
    let (then, claim) = wake_and_read(&mut a, &step, &held(10));
    write_for(claim, WriteKind::Claim);

    assert_eq!(a.step(then, conflict()), Step::Read);
    let again = a.step(then, read(&held(11)));

    assert!(assert_sleeps(&again) >= then + secs(15));
}

#[test]
fn a_conflict_that_an_event_explains_needs_no_read() {
    let mut a = waiter();
    let step = a.step(at(1), Input::Wake);
    let (then, _) = wake_and_read(&mut a, &step, &held(10));
    a.step(then, changed(&held(11)));

    let again = a.step(then, conflict());

    assert!(assert_sleeps(&again) >= then + secs(15));
}

#[test]
fn a_create_that_conflicts_waits_for_the_winner() {
    let mut a = contender();
    let create = write_for(a.step(at(0), absent()), WriteKind::Claim);
    assert_eq!(create.base, None);

    assert_eq!(a.step(at(5), conflict()), Step::Read);
    let step = a.step(at(10), read(&held(10)));

    assert!(assert_sleeps(&step) >= at(15_010));
}

#[test]
fn a_silent_watch_delays_but_never_causes_a_takeover() {
    let mut a = waiter();
    let mut step = a.step(at(1), Input::Wake);

    for version in 11..20 {
        let (then, waiting) = wake_and_read(&mut a, &step, &held(version));
        assert!(assert_sleeps(&waiting) >= then + secs(15));
        step = waiting;
    }
}

#[test]
fn without_a_watch_waiters_poll_with_jitter() {
    let polls: Vec<Moment> = (0..50)
        .map(|seed| {
            let mut a = Machine::new("a".into(), seed, Durations::default());
            a.step(at(0), Input::Claim(Durations::default()));
            a.step(at(0), read(&held(10)));
            assert_sleeps(&a.step(at(0), Input::Blind))
        })
        .collect();

    assert!(polls.iter().all(|poll| (at(2500)..=at(5000)).contains(poll)), "{polls:?}");
    assert!(polls.iter().min().unwrap() < &at(3000) && polls.iter().max().unwrap() > &at(4500));
}

#[test]
fn any_watch_event_ends_polling() {
    for event in [changed(&held(11)), Input::Missed, Input::Deleted(number(11))] {
        let mut a = waiter();
        assert!(assert_sleeps(&a.step(at(0), Input::Blind)) <= at(5000));

        let step = a.step(at(0), event.clone());
        let step = if let Input::Missed = event {
            let (then, _) = wake(&mut a, &step);
            a.step(then, read(&held(10)))
        } else {
            step
        };

        assert!(assert_sleeps(&step) >= at(15_000), "{event:?}");
    }
}

#[test]
fn a_paused_contender_reads_before_it_claims() {
    let mut a = waiter();

    let step = a.step(at(3_600_000), Input::Wake);

    assert_eq!(step, Step::Read);
    assert!(assert_sleeps(&a.step(at(3_600_001), read(&held(999)))) >= at(3_615_001));
}

#[test]
fn a_free_record_is_claimed_at_once() {
    let mut a = waiter();

    let claim = write_for(a.step(at(3000), changed(&free(11))), WriteKind::Claim);

    assert_eq!(claim.base, Some(free(11)));
}

#[test]
fn a_record_of_client_go_is_waited_for_and_claimed_once_released() {
    let client_go = Record { holder: Some("pod_uuid".into()), nonce: None, ..held_record(0) };
    let mut a = contender();
    let step = a.step(at(0), read(&found("u", 10, client_go.clone())));
    assert!(assert_sleeps(&step) >= at(15_000));
    assert_eq!(
        found("u", 10, client_go.clone()).token(),
        None,
        "a record without a nonce has no token"
    );

    let released = Record { holder: None, ttl: Some(secs(1)), ..client_go };
    let claim = a.step(at(4000), changed(&found("u", 11, released)));

    write_for(claim, WriteKind::Claim);
}

#[test]
fn transitions_count_changes_of_holder_and_never_overflow() {
    for (before, after) in [(0, 1), (i32::MAX, 0), (-5, 0)] {
        let mut a = contender();
        let record = Record { transitions: before, holder: None, ..held_record(1) };

        let claim = written(a.step(at(0), read(&found("u", 10, record))));

        assert_eq!(claim.record.transitions, after);
    }
}

#[test]
fn a_stale_read_is_ignored_and_repeated_with_backoff() {
    let mut a = waiter();
    let mut step = a.step(at(10), changed(&held(20)));
    let mut pauses = Vec::new();

    for _ in 0..12 {
        let (then, reading) = wake(&mut a, &step);
        assert_eq!(reading, Step::Read);
        step = a.step(then, read(&free(19)));
        pauses.push(assert_sleeps(&step) - then);
    }

    assert_eq!(a.seen().map(|seen| seen.version.number), Some(number(20)));
    assert!(pauses[0] <= ms(100) && pauses[11] >= ms(2500), "{pauses:?}");
}

#[test]
fn a_restored_backup_is_reported_and_begins_no_tenure() {
    let mut a = waiter();
    a.step(at(10), changed(&held(1000)));
    let (mut step, mut now) = (a.step(at(10), Input::Wake), at(10));

    while now < at(60_000) {
        let (then, reading) = wake(&mut a, &step);
        assert_eq!(reading, Step::Read);
        step = a.step(then, read(&free(500)));
        now = then;
    }

    assert!(a.status.regressed);
    assert_eq!((a.status(now).tenure, a.status.highest), (None, 1000));
}

#[test]
fn a_create_with_a_lower_version_begins_no_tenure() {
    let mut a = waiter();
    let step = a.step(at(10), Input::Deleted(number(1000)));
    let (then, _) = wake(&mut a, &step);
    let create = written(a.step(then, absent()));

    let step = a.step(then, stored(&after(&create, 500)));

    assert_eq!(a.status(then).tenure, None);
    assert_sleeps(&step);
}

#[test]
fn a_new_caller_is_answered_by_a_read_sent_after_its_call() {
    let mut a = waiter();
    assert_eq!(a.step(at(1), Input::Look), Step::Read, "no pause");

    a.step(at(2), Input::Look);
    assert_eq!(
        a.step(at(3), read(&held(10))),
        Step::Read,
        "the first read may be older than the call"
    );

    assert!(
        assert_sleeps(&a.step(at(4), read(&held(10)))) >= at(15_000),
        "the wait is not restarted"
    );
}
