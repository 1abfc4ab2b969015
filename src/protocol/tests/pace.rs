//! Rules 12 and 14: how often is asked where things fail.

use super::*;

/// The pauses after each of `answers`, which go to whatever is asked for.
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
                    "it sleeps until {until:?} and no further"
                );
                now = until;
                a.step(now, Input::Wake)
            }
            Step::Read | Step::Write(_) => {
                pauses.push(now - last);
                last = now;
                a.step(now, answer(&step))
            }
            Step::Done => panic!("something is wanted"),
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
fn reads_that_are_answered_do_not_make_up_for_writes_that_fail() {
    let mut a = contender();
    let step = a.step(at(20_000), read(&free(9)));

    let pauses = pauses(&mut a, step, 60, |step| match step {
        Step::Read => read(&free(9)),
        _ => unknown(),
    });

    assert!(sent_in_an_hour(&pauses) <= 2 * 1440, "{pauses:?}");
}

#[test]
fn conflicts_that_a_lagging_server_does_not_explain_are_paced() {
    let mut a = contender();
    let step = a.step(at(20_000), read(&free(9)));

    let pauses = pauses(&mut a, step, 60, |step| match step {
        Step::Read => read(&free(9)),
        _ => conflict(),
    });

    assert_eq!(pauses[1], Duration::ZERO, "the first one is looked into at once");
    assert!(sent_in_an_hour(&pauses) <= 2 * 1440, "{pauses:?}");
}

#[test]
fn creates_that_conflict_with_a_record_that_is_not_found_are_paced() {
    let mut a = contender();
    let step = a.step(at(20_000), absent());

    let pauses = pauses(&mut a, step, 60, |step| match step {
        Step::Read => absent(),
        _ => conflict(),
    });

    assert!(sent_in_an_hour(&pauses) <= 2 * 1440, "{pauses:?}");
}

#[test]
fn what_is_refused_is_tried_again_slowly() {
    let mut a = contender();
    let step = a.step(at(20_000), read(&free(9)));

    let pauses = pauses(&mut a, step, 20, |_| Input::Wrote(Outcome::Failed(REFUSED)));

    assert!(pauses[1..].iter().all(|pause| *pause >= ms(2500)), "{pauses:?}");
}

#[test]
fn a_store_that_does_not_answer_is_asked_ever_less_often() {
    let mut a = contender();
    let step = a.step(at(20_000), Input::Read(Err(UNKNOWN)));

    let pauses = pauses(&mut a, step, 20, |_| Input::Read(Err(UNKNOWN)));

    assert!(pauses[0] <= ms(100) && pauses[19] >= ms(2500), "{pauses:?}");
    assert!(a.status.failing);
}

#[test]
fn the_store_is_left_alone_for_as_long_as_it_asks() {
    let mut a = contender();
    let asked = Failure { refused: false, retry_after: Some(secs(20)) };

    let step = a.step(at(0), Input::Read(Err(asked)));

    assert_eq!(step, Step::Sleep(at(20_000)));
}

#[test]
fn but_for_no_longer_than_a_minute_nor_than_a_tenure_can_bear() {
    let asked = Failure { refused: false, retry_after: Some(secs(3600)) };
    let mut a = contender();
    assert_eq!(a.step(at(0), Input::Read(Err(asked))), Step::Sleep(at(60_000)));

    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    a.step(at(5001), Input::Wrote(Outcome::Failed(asked)));
    let told = a.step(at(6500), Input::Wake);

    assert_eq!(told, Step::Sleep(at(10_000)), "two attempts of 1.5 s fit in before the deadline");
}

#[test]
fn a_pause_from_before_a_tenure_does_not_outlast_it() {
    let asked = Failure { refused: false, retry_after: Some(secs(60)) };
    let mut a = contender();
    let write = written(a.step(at(0), absent()));
    a.step(at(100), Input::Wrote(Outcome::Failed(asked)));

    let pause = a.step(at(200), changed(&after(&write, 10)));
    assert_eq!(token(&a, 200), Some(10));
    let (now, step) = sleep_on(&mut a, pause);

    assert_eq!((now, token(&a, 10_000)), (at(10_000), Some(10)));
    assert!(matches!(step, Step::Read | Step::Write(_)));
}

#[test]
fn locks_that_change_hands_quickly_are_not_claimed_at_each_release() {
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

    assert!((20..120).contains(&claims), "{claims} claims for 500 releases in 10 s");
}

#[test]
fn who_has_lost_many_races_stands_back_until_it_has_won_one() {
    let mut a = waiter();
    for round in 1..20 {
        let step = a.step(at(round * 1000), changed(&free(10 + 2 * round)));
        if matches!(step, Step::Sleep(_)) {
            let _ = wake(&mut a, &step);
        }
        a.step(at(round * 1000 + 200), changed(&held(11 + 2 * round)));
        a.step(at(round * 1000 + 200), conflict());
    }

    let step = a.step(at(20_000), changed(&free(60)));
    let (then, step) = wake(&mut a, &step);
    assert!(then < at(20_040), "19 races lost: up to 38 ms");
    let write = written(step);
    a.step(then, stored(&after(&write, 61)));
    let freed = written(a.step(then, Input::Release));
    a.step(then, stored(&after(&freed, 62)));
    a.step(then, changed(&held(63)));
    a.step(then, Input::Claim(Durations::default()));

    assert!(matches!(a.step(then, changed(&free(64))), Step::Write(_)), "at once");
}

#[test]
fn those_who_wait_do_not_come_all_at_once() {
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

/// One for whom everything takes long.
fn patient() -> Machine {
    let mut a = machine();
    assert_eq!(a.step(at(20_000), Input::Claim(Timing::new(secs(86_400)).durations())), Step::Read);
    a
}

#[test]
fn a_long_time_to_live_makes_no_pause_longer() {
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
fn what_failed_before_somebody_asked_is_no_answer_to_them() {
    let mut a = contender();
    let asked = Failure { refused: false, retry_after: Some(secs(60)) };
    a.step(at(0), Input::Read(Err(asked)));
    a.step(at(1), Input::Release);
    assert!(a.status.failing);

    a.step(at(2), Input::Look);

    assert!(!a.status.failing);
    assert_eq!(a.step(at(2), Input::Claim(Durations::default())), Step::Read, "at once");
}

#[test]
fn whoever_asks_long_after_a_deletion_is_answered_by_a_read() {
    let mut a = waiter();
    a.step(at(10), Input::Deleted(number(11)));
    a.step(at(20), Input::Release);

    a.step(at(60_000), Input::Look);
    assert_eq!(a.step(at(60_000), Input::Claim(Durations::default())), Step::Read);
    write_for(a.step(at(60_001), absent()), WriteKind::Claim);
}

#[test]
fn a_state_that_was_known_before_explains_no_conflict() {
    let mut a = contender();
    written(a.step(at(0), read(&free(10))));
    assert_eq!(a.step(at(5), conflict()), Step::Read);
    let pause = a.step(at(6), read(&free(10)));
    let (then, step) = wake(&mut a, &pause);
    write_for(step, WriteKind::Claim);

    assert!(
        assert_sleeps(&a.step(then, conflict())) > then,
        "the second is not looked into at once"
    );
}

#[test]
fn who_has_lost_a_race_stands_back_from_what_is_free_and_not_from_its_own() {
    let (mut a, now) = holder();
    write_for(a.step(at(13_000), Input::Wake), WriteKind::Free);
    a.step(at(13_000), Input::Claim(Durations::default()));
    assert_eq!(a.step(at(13_001), conflict()), Step::Read);

    let step = a.step(at(13_002), read(&found("u", 11, now.record.clone())));

    write_for(step, WriteKind::Claim);
}
