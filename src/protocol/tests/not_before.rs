//! Rule 17: the time before which no other tenure may begin.

use std::time::SystemTime;

use super::*;
use crate::api::record::NotBefore;

const TEN_MINUTES: Duration = secs(600);

/// Ten minutes between two starts.
fn timing() -> Durations {
    Durations::default().with_at_least(Some(TEN_MINUTES)).unwrap()
}

/// What a wall clock shows that is right, `millis` after the start.
fn wall(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + secs(1_800_000_000) + ms(millis)
}

/// Sets the wall clock of a machine: it is `ahead` of the right one, or `behind` it.
fn set_clock(machine: &mut Machine, ahead: Duration, behind: Duration) {
    machine.inner.set_wall_clock(at(0), wall(0) + ahead - behind);
}

/// The time that `b` states, `millis` after the start on a right clock.
fn not_before(millis: u64) -> Arc<NotBefore> {
    Arc::new(NotBefore { time: wall(millis), length: TEN_MINUTES, holder: "b".into() })
}

/// A free record that opens `millis` after the start on a right clock.
fn closed(version: u64, millis: u64) -> Arc<Versioned> {
    let not_before = Some(not_before(millis));
    found("u", version, Record { not_before, ..free(version).record.clone() })
}

fn contender_with_a_right_clock() -> Machine {
    let mut a = machine();
    set_clock(&mut a, secs(0), secs(0));
    assert_eq!(a.step(at(0), Input::Claim(Durations::default())), Step::Read);
    a
}

/// A holder whose claim was sent at 0 ms and stored at 40 ms as version 10, and the claim.
fn spaced_holder() -> (Machine, Write) {
    let mut a = machine();
    set_clock(&mut a, secs(0), secs(0));
    assert_eq!(a.step(at(0), Input::Claim(timing())), Step::Read);
    let claim = written(a.step(at(0), absent()));
    assert_sleeps(&a.step(at(40), stored(&after(&claim, 10))));
    (a, claim)
}

/// When a record opens that this write stores, in milliseconds after the start.
fn opens(write: &Write) -> Option<u128> {
    let not_before = write.record.not_before.as_ref()?;
    assert_eq!((&*not_before.holder, not_before.length), ("a", TEN_MINUTES));
    Some(not_before.time.duration_since(wall(0)).unwrap().as_millis())
}

/// Sleeps until the record is read, answers with the same state, and returns when the claim is sent.
#[track_caller]
fn claimed_after_a_read(a: &mut Machine, step: Step, now: &Arc<Versioned>) -> Moment {
    let (then, step) = sleep_on(a, step);
    assert_eq!(step, Step::Read, "one read right before the claim");
    write_for(a.step(then + ms(1), read(now)), WriteKind::Claim);
    then
}

#[test]
fn a_claim_states_when_the_record_opens_and_later_writes_count_from_the_begin_of_the_tenure() {
    let (mut a, claim) = spaced_holder();
    let (then, renewal) = sleep_on(&mut a, Step::Sleep(at(40)));
    let renewal = write_for(renewal, WriteKind::Renew);
    a.step(then + ms(1), stored(&after(&renewal, 11)));

    let freeing = write_for(a.step(at(8000), Input::Release), WriteKind::Free);

    let opens = [&claim, &renewal, &freeing].map(opens);
    assert_eq!(opens, [Some(600_000), Some(600_040), Some(600_040)]);
}

#[test]
fn a_written_time_is_rounded_up_to_a_millisecond() {
    let mut a = machine();
    set_clock(&mut a, Duration::from_nanos(1), secs(0));
    a.step(at(0), Input::Claim(timing()));

    let claim = written(a.step(at(0), absent()));

    assert_eq!(opens(&claim), Some(600_001));
}

#[test]
fn a_free_record_is_claimed_when_it_opens_and_a_read_has_confirmed_it() {
    let mut a = contender_with_a_right_clock();
    let now = closed(10, 400_000);

    let step = a.step(at(1), read(&now));

    assert!(a.status.waiting && a.wants_watch(), "it waits, and a watch would show a change");
    let status = a.status.closed.clone().unwrap();
    assert_eq!((status.until, status.time), (at(400_000), wall(400_000)));
    assert_eq!(status.stated.holder, "b");
    let claimed = claimed_after_a_read(&mut a, step, &now);
    assert!((at(400_000)..=at(400_500)).contains(&claimed), "{claimed:?}");
    assert_eq!(a.status.closed, None);
}

#[test]
fn a_time_that_has_passed_does_not_delay_a_claim() {
    let mut a = contender_with_a_right_clock();

    let step = a.step(at(1), read(&closed(10, 1)));

    let claim = write_for(step, WriteKind::Claim);
    assert_eq!(claim.record.not_before, None, "the next holder removes what it does not state");
}

#[test]
fn a_contender_whose_clock_is_behind_waits_for_the_length_from_its_first_sight_on() {
    let mut a = contender_with_a_right_clock();
    set_clock(&mut a, secs(0), secs(500));
    a.step(at(1000), read(&closed(10, 590_000)));

    // Another program edits the Lease.
    let edited = closed(11, 590_000);
    let step = a.step(at(300_000), changed(&edited));

    let claimed = claimed_after_a_read(&mut a, step, &edited);
    assert!((at(601_000)..=at(601_500)).contains(&claimed), "{claimed:?}");
}

#[test]
fn a_contender_whose_clock_is_ahead_is_early_by_that_much() {
    let mut a = contender_with_a_right_clock();
    set_clock(&mut a, secs(60), secs(0));
    let now = closed(10, 400_000);
    let step = a.step(at(1), read(&now));

    let claimed = claimed_after_a_read(&mut a, step, &now);

    assert!((at(340_000)..=at(340_500)).contains(&claimed), "{claimed:?}");
}

#[test]
fn a_clock_that_is_corrected_shortens_the_wait() {
    let mut a = contender_with_a_right_clock();
    set_clock(&mut a, secs(0), secs(500));
    let now = closed(10, 590_000);
    a.step(at(1), read(&now));

    set_clock(&mut a, secs(0), secs(0));
    let step = a.step(at(1000), Input::Wake);

    let claimed = claimed_after_a_read(&mut a, step, &now);
    assert!((at(590_000)..=at(590_500)).contains(&claimed), "{claimed:?}");
}

#[test]
fn a_time_more_than_two_lengths_away_is_ignored() {
    for (millis, ignored) in [(1_200_000, false), (1_200_001, true), (40_000_000_000, true)] {
        let mut a = contender_with_a_right_clock();

        let step = a.step(at(0), read(&closed(10, millis)));

        assert_eq!(matches!(step, Step::Write(_)), ignored, "{millis}");
        assert_eq!(a.status.closed.map(|closed| closed.until), (!ignored).then(|| at(600_000)));
    }
}

#[test]
fn a_record_that_is_released_by_another_program_or_an_operator_is_claimed_at_once() {
    let mut a = contender_with_a_right_clock();
    a.step(at(1), read(&closed(10, 600_000)));

    let step = a.step(at(1000), changed(&free(11)));

    write_for(step, WriteKind::Claim);
}

#[test]
fn the_record_of_a_dead_holder_is_claimed_after_its_ttl_and_its_time() {
    for (millis, earliest) in [(9000, 15_000), (100_000, 100_000)] {
        let mut a = contender_with_a_right_clock();
        let dead = Record { not_before: Some(not_before(millis)), ..held_record(10) };
        let dead = found("u", 10, dead);
        let step = a.step(at(0), read(&dead));
        assert_eq!(a.status.closed, None, "as far as this machine can know, the holder is alive");
        a.status = a.status(at(15_001));
        assert_eq!(a.status.closed.is_some(), millis > 15_001);

        let claimed = claimed_after_a_read(&mut a, step, &dead);

        assert!((at(earliest)..=at(earliest + 500)).contains(&claimed), "{claimed:?}");
    }
}

#[test]
fn the_next_tenure_of_the_same_machine_waits_too() {
    let (mut a, _) = spaced_holder();
    let freeing = write_for(a.step(at(1000), Input::Release), WriteKind::Free);
    a.step(at(1001), Input::Claim(Durations::default()));
    let now = after(&freeing, 11);

    let step = a.step(at(1002), stored(&now));

    let claimed = claimed_after_a_read(&mut a, step, &now);
    assert!((at(600_040)..=at(600_540)).contains(&claimed), "{claimed:?}");
}

#[test]
fn a_machine_that_has_lost_its_tenure_frees_the_record_before_it_waits_for_the_next_one() {
    let (mut a, claim) = spaced_holder();
    // A renewal that is never answered.
    write_for(a.step(at(5040), Input::Wake), WriteKind::Renew);
    a.step(at(13_000), Input::Claim(Durations::default()));
    assert_eq!(token(&a, 13_000), None);
    let step = a.step(at(13_001), unknown());
    let (then, step) = sleep_on(&mut a, step);
    assert_eq!(step, Step::Read);

    let step = a.step(then + ms(1), read(&after(&claim, 10)));

    let freeing = write_for(step, WriteKind::Free);
    assert_eq!(opens(&freeing), Some(600_040));
    let now = after(&freeing, 11);
    let step = a.step(then + ms(2), stored(&now));
    let claimed = claimed_after_a_read(&mut a, step, &now);
    assert!((at(600_040)..=at(600_540)).contains(&claimed), "{claimed:?}");
}

#[test]
fn a_claim_that_is_stored_too_late_to_begin_a_tenure_closes_nothing() {
    let mut a = machine();
    set_clock(&mut a, secs(0), secs(0));
    a.step(at(0), Input::Claim(timing()));
    let claim = written(a.step(at(0), absent()));

    let step = a.step(at(13_000), stored(&after(&claim, 10)));

    assert_eq!(token(&a, 13_000), None, "the hold has passed");
    let again = write_for(step, WriteKind::Claim);
    assert_eq!(opens(&again), Some(613_000));
    a.step(at(13_010), stored(&after(&again, 11)));
    assert_eq!(token(&a, 13_010), Some(11));
}

#[test]
fn a_tenure_that_no_caller_has_received_closes_nothing() {
    for input in [Input::Cancel, Input::Pass(timing())] {
        let (mut a, _) = spaced_holder();

        let write = written(a.step(at(100), input.clone()));

        match input {
            Input::Cancel => assert_eq!((write.kind, opens(&write)), (WriteKind::Free, None)),
            _ => assert_eq!((write.kind, opens(&write)), (WriteKind::Claim, Some(600_100))),
        }
    }
}

#[test]
fn a_withdrawn_claim_that_is_stored_is_freed_without_a_time() {
    let mut a = machine();
    set_clock(&mut a, secs(0), secs(0));
    a.step(at(0), Input::Claim(timing()));
    let claim = written(a.step(at(0), absent()));
    a.step(at(1), Input::Release);

    let freeing = write_for(a.step(at(10), stored(&after(&claim, 10))), WriteKind::Free);

    assert_eq!(opens(&freeing), None);
}
