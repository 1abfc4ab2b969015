//! Rules 12 and 14: the rate of requests while requests fail.

use super::*;

/// The pauses before the next `rounds` requests, each of which is answered with `answer`.
fn pauses(
    a: &mut Machine,
    mut step: Step,
    rounds: usize,
    answer: impl Fn(&Step) -> Input,
) -> Vec<Duration> {
    let (mut now, mut last) = (at(20_000), at(20_000));
    let mut pauses = Vec::new();
    while pauses.len() < rounds {
        step = match step {
            Step::Sleep(until) => {
                assert!(
                    pauses.is_empty() || until > now,
                    "a sleep until {until:?} must end later than {now:?}"
                );
                now = until;
                a.step(now, Input::Wake)
            }
            Step::Read | Step::Write(_) => {
                pauses.push(now - last);
                last = now;
                a.step(now, answer(&step))
            }
            Step::Queue { .. } | Step::Done => {
                panic!("a tenure is wanted, so the machine must not be done")
            }
        };
    }
    pauses
}

fn sent_in_an_hour(pauses: &[Duration]) -> u64 {
    let tail = &pauses[pauses.len() / 2..];
    let each = tail.iter().sum::<Duration>() / u32::try_from(tail.len()).unwrap();
    u64::try_from(secs(3600).as_nanos() / each.as_nanos().max(1)).unwrap()
}

#[test]
fn successful_reads_do_not_reset_the_backoff_of_failing_writes() {
    let mut a = contender();
    let step = a.step(at(20_000), read(&free(9)));

    let pauses = pauses(&mut a, step, 60, |step| match step {
        Step::Read => read(&free(9)),
        _ => unknown(),
    });

    assert!(sent_in_an_hour(&pauses) <= 2 * 1440, "{pauses:?}");
}

#[test]
fn conflicts_that_reads_do_not_explain_back_off() {
    let mut a = contender();
    let step = a.step(at(20_000), read(&free(9)));

    let pauses = pauses(&mut a, step, 60, |step| match step {
        Step::Read => read(&free(9)),
        _ => conflict(),
    });

    assert_eq!(pauses[1], Duration::ZERO, "the first conflict is followed by a read at once");
    assert!(sent_in_an_hour(&pauses) <= 2 * 1440, "{pauses:?}");
}

/// Steps `a` from `millis` on next to an editor that changes other fields of its record before each write. Returns when
/// its requests were sent.
fn next_to_an_editor(
    a: &mut Machine,
    record: &Versioned,
    millis: u64,
    input: Input,
) -> Vec<Moment> {
    let (mut now, mut version) = (at(millis), record.version.number.get());
    let (mut sent, mut step) = (Vec::new(), a.step(now, input));
    while sent.len() < 1000 {
        match step {
            Step::Queue { .. } | Step::Done => break,
            Step::Sleep(until) => now = until,
            Step::Read | Step::Write(_) => {
                sent.push(now);
                now = now + ms(1);
            }
        }
        step = match step {
            Step::Read => {
                version += 1;
                a.step(now, read(&found("u", version, record.record.clone())))
            }
            Step::Write(_) => a.step(now, conflict()),
            Step::Sleep(_) | Step::Queue { .. } | Step::Done => a.step(now, Input::Wake),
        };
    }
    sent
}

#[test]
fn a_holder_next_to_an_editor_that_never_rests_sends_few_requests_and_keeps_its_chances() {
    let (mut a, now) = holder();

    let sent = next_to_an_editor(&mut a, &now, 5000, Input::Wake);

    let held: Vec<_> = sent.iter().filter(|&&sent| sent < at(13_000)).collect();
    assert!((20..=40).contains(&held.len()), "{} requests", held.len());
    assert!(*held[held.len() - 1] > at(11_000), "it tries until shortly before its deadline");
    assert!(*held[2] - *held[0] < ms(10), "the first conflict costs no pause");
}

#[test]
fn a_release_next_to_an_editor_that_never_rests_sends_few_requests() {
    let (mut a, now) = holder();

    let sent = next_to_an_editor(&mut a, &now, 1000, Input::Release);

    assert!((20..=60).contains(&sent.len()), "{} requests", sent.len());
    assert!(*sent.last().unwrap() < at(16_000), "it stops after one ttl");
}

#[test]
fn a_contender_for_a_free_record_next_to_an_editor_that_never_rests_sends_few_requests() {
    let mut a = contender();

    let sent = next_to_an_editor(&mut a, &free(9), 0, read(&free(9)));

    let minute = sent.iter().filter(|&&sent| sent < at(60_000)).count();
    assert!((20..=200).contains(&minute), "{minute} requests");
}

#[test]
fn a_stored_renewal_ends_the_backoff_from_edits() {
    let (mut a, mut now) = holder();

    let mut start = at(5000);
    for round in 1..100 {
        write_for(a.step(start, Input::Wake), WriteKind::Renew);
        let edited = found("u", 10 * round + 5, now.record.clone());
        assert_eq!(a.step(start + ms(1), conflict()), Step::Read, "no pause");
        let renewal = write_for(a.step(start + ms(2), read(&edited)), WriteKind::Renew);
        now = after(&renewal, 10 * round + 6);
        start = assert_sleeps(&a.step(start + ms(3), stored(&now)));
    }
    assert_eq!(a.status.tenure.map(|held| held.token.get()), Some(10));
}

#[test]
fn create_conflicts_with_a_missing_record_back_off() {
    let mut a = contender();
    let step = a.step(at(20_000), absent());

    let pauses = pauses(&mut a, step, 60, |step| match step {
        Step::Read => absent(),
        _ => conflict(),
    });

    assert!(sent_in_an_hour(&pauses) <= 2 * 1440, "{pauses:?}");
}

#[test]
fn a_refused_write_is_retried_slowly() {
    let mut a = contender();
    let step = a.step(at(20_000), read(&free(9)));

    let pauses = pauses(&mut a, step, 20, |_| Input::Wrote(Outcome::Failed(REFUSED)));

    assert!(pauses[1..].iter().all(|pause| *pause >= ms(2500)), "{pauses:?}");
}

#[test]
fn failing_reads_back_off() {
    let mut a = contender();
    let step = a.step(at(20_000), Input::Read(Err(UNKNOWN)));

    let pauses = pauses(&mut a, step, 20, |_| Input::Read(Err(UNKNOWN)));

    assert!(pauses[0] <= ms(100) && pauses[19] >= ms(2500), "{pauses:?}");
    assert!(a.status.failing);
}

#[test]
fn retry_after_is_honoured() {
    let mut a = contender();
    let throttled = Failure { refused: false, retry_after: Some(secs(20)) };

    let step = a.step(at(0), Input::Read(Err(throttled)));

    assert_eq!(step, Step::Sleep(at(20_000)));
}

#[test]
fn retry_after_is_capped_at_a_minute_and_by_the_deadline_of_a_tenure() {
    let throttled = Failure { refused: false, retry_after: Some(secs(3600)) };
    let mut a = contender();
    assert_eq!(a.step(at(0), Input::Read(Err(throttled))), Step::Sleep(at(60_000)));

    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    a.step(at(5001), Input::Wrote(Outcome::Failed(throttled)));
    let doubtful = a.step(at(6500), Input::Wake);

    assert_eq!(
        doubtful,
        Step::Sleep(at(10_000)),
        "two attempts of 1.5 s fit between the pause and the deadline"
    );
}

#[test]
fn a_pause_from_before_a_tenure_leaves_time_for_two_attempts() {
    let throttled = Failure { refused: false, retry_after: Some(secs(60)) };
    let mut a = contender();
    let write = written(a.step(at(0), absent()));
    a.step(at(100), Input::Wrote(Outcome::Failed(throttled)));

    let pause = a.step(at(200), changed(&after(&write, 10)));
    assert_eq!(token(&a, 200), Some(10));
    let (now, step) = sleep_on(&mut a, pause);

    assert_eq!((now, token(&a, 10_000)), (at(10_000), Some(10)));
    assert!(matches!(step, Step::Read | Step::Write(_)));
}

#[test]
fn a_lock_that_changes_holders_quickly_is_not_claimed_at_each_release() {
    let mut a = waiter();
    let mut claims = 0;

    for round in 1..500 {
        let (free_at, taken_at) = (at(round * 20), at(round * 20 + 10));
        let mut step = a.step(free_at, changed(&free(10 + 2 * round)));
        if let Step::Sleep(until) = step
            && until < taken_at
        {
            step = a.step(until, Input::Wake);
        }
        let lost = matches!(step, Step::Write(_));
        a.step(taken_at, changed(&held(11 + 2 * round)));
        if lost {
            claims += 1;
            a.step(taken_at, conflict());
        }
    }

    assert!((20..120).contains(&claims), "{claims} claims in 500 releases in 10 s");
}

#[test]
fn lost_races_delay_claims_until_a_claim_is_stored() {
    let mut a = waiter();
    for round in 1..20 {
        let step = a.step(at(round * 1000), changed(&free(10 + 2 * round)));
        if matches!(step, Step::Sleep(_)) {
            let _ = wake(&mut a, &step);
        }
        a.step(at(round * 1000 + 500), changed(&held(11 + 2 * round)));
        a.step(at(round * 1000 + 500), conflict());
    }

    let step = a.step(at(20_000), changed(&free(60)));
    let (then, step) = wake(&mut a, &step);
    assert!(then < at(20_228), "19 lost races delay a claim by up to 228 ms");
    let write = written(step);
    a.step(then, stored(&after(&write, 61)));
    let freed = written(a.step(then, Input::Release));
    a.step(then, stored(&after(&freed, 62)));
    a.step(then, changed(&held(63)));
    a.step(then, Input::Claim(Durations::default()));

    assert!(matches!(a.step(then, changed(&free(64))), Step::Write(_)), "no delay");
}

#[test]
fn takeovers_of_different_machines_are_spread_over_half_a_second() {
    let takes: std::collections::BTreeSet<Moment> = (0..200)
        .map(|seed| {
            let mut a = Machine::new("a".into(), seed, Durations::default());
            a.step(at(0), Input::Claim(Durations::default()));
            assert_sleeps(&a.step(at(0), read(&held(10))))
        })
        .collect();

    assert!(takes.len() > 190, "{}", takes.len());
    assert!(takes.iter().all(|take| (at(15_000)..=at(15_500)).contains(take)));
}

/// A contender with the longest ttl.
fn patient() -> Machine {
    let mut a = machine();
    assert_eq!(a.step(at(20_000), Input::Claim(Timing::new(secs(86_400)).durations())), Step::Read);
    a
}

#[test]
fn a_long_ttl_does_not_lengthen_pauses() {
    let mut a = patient();
    let step = a.step(at(20_000), Input::Read(Err(UNKNOWN)));
    let failed = pauses(&mut a, step, 40, |_| Input::Read(Err(UNKNOWN)));
    assert!(failed[0] <= ms(100) && failed.iter().all(|pause| *pause <= secs(5)), "{failed:?}");
    assert!(sent_in_an_hour(&failed) <= 1440, "{failed:?}");

    let mut a = patient();
    let step = a.step(at(20_000), Input::Read(Err(REFUSED)));
    let refused = pauses(&mut a, step, 20, |_| Input::Read(Err(REFUSED)));
    assert!(refused.iter().all(|pause| (secs(15)..=secs(30)).contains(pause)), "{refused:?}");

    let mut a = patient();
    a.step(at(20_000), Input::Blind);
    let step = a.step(at(20_000), read(&held(10)));
    let polled = pauses(&mut a, step, 2, |_| read(&held(10)));
    assert!(polled.iter().all(|pause| (ms(2500)..=secs(5)).contains(pause)), "{polled:?}");
}

#[test]
fn a_new_caller_ends_the_backoff() {
    let mut a = contender();
    let throttled = Failure { refused: false, retry_after: Some(secs(60)) };
    a.step(at(0), Input::Read(Err(throttled)));
    a.step(at(1), Input::Release);
    assert!(a.status.failing);

    a.step(at(2), Input::Look);

    assert!(!a.status.failing);
    assert_eq!(a.step(at(2), Input::Claim(Durations::default())), Step::Read, "no pause");
}

#[test]
fn a_claim_long_after_a_deletion_begins_with_a_read() {
    let mut a = waiter();
    a.step(at(10), Input::Deleted(number(11)));
    a.step(at(20), Input::Release);

    a.step(at(60_000), Input::Look);
    assert_eq!(a.step(at(60_000), Input::Claim(Durations::default())), Step::Read);
    write_for(a.step(at(60_001), absent()), WriteKind::Claim);
}

#[test]
fn a_state_that_was_known_before_a_conflict_does_not_explain_it() {
    let mut a = contender();
    written(a.step(at(0), read(&free(10))));
    assert_eq!(a.step(at(5), conflict()), Step::Read);
    let pause = a.step(at(6), read(&free(10)));
    let (then, step) = wake(&mut a, &pause);
    write_for(step, WriteKind::Claim);

    assert!(
        assert_sleeps(&a.step(then, conflict())) > then,
        "the second conflict is followed by a pause"
    );
}

#[test]
fn a_lost_race_does_not_delay_the_claim_of_the_machines_own_record() {
    let (mut a, now) = holder();
    write_for(a.step(at(13_000), Input::Wake), WriteKind::Free);
    a.step(at(13_000), Input::Claim(Durations::default()));
    assert_eq!(a.step(at(13_001), conflict()), Step::Read);

    let step = a.step(at(13_002), read(&found("u", 11, now.record.clone())));

    write_for(step, WriteKind::Claim);
}
