//! Rules 12 and 14: the length of each pause, and the spread of takeovers.

use super::*;

/// A pause is half of `most` plus a share of the other half.
#[track_caller]
fn assert_about(pause: Duration, most: Duration) {
    assert!(most / 2 <= pause && pause <= most, "{pause:?} for {most:?}");
}

#[test]
fn each_failure_doubles_the_pause_up_to_the_renewal_interval() {
    for (timing, first, longest) in [
        (Durations::default(), ms(100), secs(5)),
        (Timing::new(secs(3)).durations(), ms(20), secs(1)),
    ] {
        let mut a = machine();
        a.step(at(0), Input::Claim(timing));
        let mut now = at(0);

        for failures in 0..20 {
            let pause = a.step(now, Input::Read(Err(UNKNOWN)));
            let (then, step) = wake(&mut a, &pause);
            assert_eq!(step, Step::Read);
            assert_about(then - now, (first * (1 << failures)).min(longest));
            now = then;
        }
    }
}

#[test]
fn a_holder_never_pauses_longer_than_one_attempt_timeout() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    let mut now = at(5001);
    let pause = a.step(now, unknown());
    (now, _) = sleep_on(&mut a, pause);

    for failures in 0..6 {
        let pause = a.step(now, Input::Read(Err(UNKNOWN)));
        let (then, step) = sleep_on(&mut a, pause);
        assert_eq!(step, Step::Read);
        assert_about(then - now, (ms(100) * (1 << failures)).min(ms(1500)));
        now = then;
    }
}

#[test]
fn a_refused_holder_has_time_for_three_more_attempts() {
    let (mut a, _) = holder();
    written(a.step(at(5000), Input::Wake));
    let mut now = at(5000);

    for _ in 0..3 {
        let pause = a.step(now, Input::Wrote(Outcome::Failed(REFUSED)));
        let (then, step) = sleep_on(&mut a, pause);
        write_for(step, WriteKind::Renew);
        assert_about(then - now, secs(2));
        now = then;
    }
}

/// A contender with an unexplained conflict at 0 ms and its second claim in flight.
fn after_one_conflict() -> Machine {
    let mut a = contender();
    written(a.step(at(0), read(&free(10))));
    assert_eq!(a.step(at(0), conflict()), Step::Read, "the first conflict causes no pause");
    let pause = a.step(at(0), read(&free(10)));
    write_for(wake(&mut a, &pause).1, WriteKind::Claim);
    a
}

#[test]
fn only_conflicts_close_together_back_off() {
    let step = after_one_conflict().step(at(10_000), conflict());
    assert!(assert_sleeps(&step) > at(10_000));

    assert_eq!(after_one_conflict().step(at(10_001), conflict()), Step::Read);
}

#[test]
fn each_unexplained_conflict_doubles_the_pause_up_to_a_quarter_of_the_renewal_interval() {
    let mut a = after_one_conflict();
    let mut now = at(1000);

    for conflicts in 0..10 {
        let pause = a.step(now, conflict());
        let (then, step) = wake(&mut a, &pause);
        assert_eq!(step, Step::Read);
        assert_about(then - now, (ms(100) * (1 << conflicts)).min(ms(1250)));

        let pause = a.step(then, read(&free(10)));
        let (then, step) = wake(&mut a, &pause);
        write_for(step, WriteKind::Claim);
        now = then;
    }
}

/// How long a machine with this seed delays its claim of a free record after this many lost races.
fn claim_delay(seed: u64, races: u64) -> Duration {
    let mut a = Machine::new("a".into(), seed, Durations::default());
    a.step(at(0), Input::Claim(Durations::default()));
    a.step(at(0), read(&held(10)));
    for race in 1..=races {
        let step = a.step(at(race * 1000), changed(&free(10 + 2 * race)));
        if matches!(step, Step::Sleep(_)) {
            let _ = wake(&mut a, &step);
        }
        a.step(at(race * 1000 + 500), changed(&held(11 + 2 * race)));
        a.step(at(race * 1000 + 500), conflict());
    }
    let now = at((races + 1) * 1000);
    match a.step(now, changed(&free(100_000))) {
        Step::Sleep(until) => until - now,
        _ => Duration::ZERO,
    }
}

#[test]
fn each_lost_race_adds_up_to_twelve_milliseconds_to_the_claim_delay_and_four_hundred_at_most() {
    for (races, most) in [(0, ms(0)), (1, ms(12)), (19, ms(228)), (80, ms(400))] {
        let longest = (0..100).map(|seed| claim_delay(seed, races)).max().unwrap();

        assert!(most / 10 * 9 <= longest && longest <= most, "{races} races: {longest:?}");
    }
}

#[test]
fn takeover_jitter_is_even_across_machines_and_across_versions() {
    let part = |seed: u64, version: u64| {
        let mut a = Machine::new("a".into(), seed, Durations::default());
        a.step(at(0), Input::Claim(Durations::default()));
        let take = assert_sleeps(&a.step(at(0), read(&held(version))));
        usize::try_from((take - at(15_000)).as_nanos() * 16 / ms(500).as_nanos()).unwrap()
    };
    let machines: Vec<usize> = (0..4096).map(|seed| part(seed, 10)).collect();
    let times: Vec<usize> = (1..=4096).map(|version| part(SEED, version)).collect();

    for parts in [machines, times] {
        let mut counts = [0_u32; 16];
        for part in parts {
            counts[part] += 1;
        }
        assert!(counts.iter().all(|count| (176..=336).contains(count)), "256 each: {counts:?}");
    }
}
