//! The time before which no tenure may begin, in a lock with a queue.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    super::{
        claim::Mode,
        line::Line,
        machine::{AtLeast, Event, Failure, LockMachine, Outcome, Step},
        record::{LockRecord, LockWrite, StoredLock},
    },
    machine::{TTL, at, line, reads, stored, write},
    session,
};
use crate::{
    api::record::NotBefore,
    protocol::{record::Nonce, session::Stored},
    util::clock::Moment,
};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// What a wall clock shows that is right, `millis` after the start.
pub(super) fn wall(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(millis)
}

/// The time that another process states, `millis` after the start on a right clock.
pub(super) fn opens(millis: u64) -> Arc<NotBefore> {
    Arc::new(NotBefore { time: wall(millis), length: TEN_MINUTES, holder: "b".into() })
}

/// A record with this line, before whose time no tenure may begin.
pub(super) fn closed(
    version: u64,
    line: &Line,
    not_before: Option<Arc<NotBefore>>,
) -> Arc<StoredLock> {
    let found = stored(version, line);
    let record = LockRecord { not_before, ..found.record.clone() };
    Arc::new(Stored { record, ..(*found).clone() })
}

/// What this write stores.
pub(super) fn after(version: u64, sent: &LockWrite) -> Arc<StoredLock> {
    closed(version, &sent.line, sent.not_before.clone())
}

/// When a record opens after this write, in milliseconds after the start.
pub(super) fn opened(sent: &LockWrite) -> Option<u128> {
    let not_before = sent.not_before.as_ref()?;
    Some(not_before.time.duration_since(wall(0)).unwrap().as_millis())
}

fn set_clock(machine: &mut LockMachine, ahead: Duration, behind: Duration) {
    machine.set_wall_clock(at(0), wall(0) + ahead - behind);
}

pub(super) fn right(machine: &mut LockMachine) {
    set_clock(machine, Duration::ZERO, Duration::ZERO);
}

pub(super) fn claims(
    machine: &mut LockMachine,
    millis: u64,
    nonce: u64,
    try_once: bool,
    spaced: bool,
) {
    machine.claim(at(millis), Nonce(nonce), Mode::Exclusive, try_once);
    if spaced {
        machine.space(Nonce(nonce), AtLeast { length: TEN_MINUTES, holder: "host-a".into() });
    }
    right(machine);
}

/// A machine of session `a` with claim 1, which has read `found`.
pub(super) fn reading(spaced: bool, found: Option<Arc<StoredLock>>) -> LockMachine {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, false, spaced);
    reads(&mut machine, 0, found);
    right(&mut machine);
    machine
}

/// A machine of session `a` whose claim 1 states a time and holds since 1 ms and version 5.
fn spaced_holder() -> LockMachine {
    let mut machine = reading(true, None);
    let sent = write(&mut machine, 0);
    assert_eq!((&sent.line, opened(&sent)), (&line(&[('a', 1)]), Some(600_000)));
    machine.wrote(at(1), 0, Outcome::Stored(after(5, &sent)));
    assert_eq!(granted(&mut machine, 1), Some(5));
    machine
}

/// The token of a tenure that begins now, if one does.
pub(super) fn granted(machine: &mut LockMachine, millis: u64) -> Option<u64> {
    machine.next(at(millis), 0);
    events(machine)
}

fn events(machine: &mut LockMachine) -> Option<u64> {
    machine.take_events().into_iter().find_map(|event| match event {
        Event::Granted { token, .. } => Some(token.get()),
        _ => None,
    })
}

#[track_caller]
pub(super) fn sleeps(machine: &mut LockMachine, millis: u64) -> Moment {
    match machine.next(at(millis), 0) {
        Step::Sleep(until) => until,
        other => panic!("it does not sleep: {other:?}"),
    }
}

#[test]
fn a_claim_of_a_free_and_open_lock_states_its_time_with_the_same_write() {
    let mut machine = spaced_holder();

    assert!(sleeps(&mut machine, 1) > at(5000), "no other request");
}

#[test]
fn a_release_states_the_time_from_the_begin_of_the_tenure_on() {
    let mut machine = spaced_holder();
    machine.give_up(Nonce(1));

    let sent = write(&mut machine, 200_000);

    assert_eq!((&sent.line, opened(&sent)), (&Line::default(), Some(600_001)));
}

#[test]
fn a_time_is_rounded_up_to_a_millisecond() {
    let mut machine = reading(true, None);
    set_clock(&mut machine, Duration::from_nanos(1), Duration::ZERO);

    assert_eq!(opened(&write(&mut machine, 0)), Some(600_001));
}

#[test]
fn a_claim_of_a_free_and_closed_lock_is_a_reservation_and_states_its_time_when_it_is_open() {
    let mut machine = reading(true, Some(closed(4, &Line::default(), Some(opens(400_000)))));
    let reserving = write(&mut machine, 0);
    assert_eq!((&reserving.line, opened(&reserving)), (&line(&[('a', 1)]), Some(400_000)));
    machine.wrote(at(1), 0, Outcome::Stored(after(5, &reserving)));
    assert_eq!(sleeps(&mut machine, 1), at(400_000));
    assert!(machine.take_events().is_empty(), "no tenure has begun");
    assert_eq!(machine.closed(at(2)).unwrap().until, at(400_000), "for a wait that ends");

    let stating = write(&mut machine, 400_000);
    assert_eq!((&stating.line, opened(&stating)), (&reserving.line, Some(1_000_000)));
    assert!(!stating.changes_holders);
    machine.wrote(at(400_001), 0, Outcome::Stored(after(6, &stating)));

    assert_eq!(granted(&mut machine, 400_001), Some(6));
    machine.give_up(Nonce(1));
    assert_eq!(opened(&write(&mut machine, 400_500)), Some(1_000_001));
}

#[test]
fn a_reservation_without_a_time_of_its_own_is_confirmed_with_a_read() {
    let mut machine = reading(false, Some(closed(4, &Line::default(), Some(opens(400_000)))));
    let reserving = write(&mut machine, 0);
    let found = after(5, &reserving);
    machine.wrote(at(1), 0, Outcome::Stored(Arc::clone(&found)));
    assert_eq!(sleeps(&mut machine, 1), at(400_000));

    reads(&mut machine, 400_000, Some(found));

    assert_eq!(granted(&mut machine, 400_000), Some(5));
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 400_001);
    assert_eq!(opened(&sent), None, "a holder that states no time removes one that is over");
}

#[test]
fn a_lock_that_is_handed_over_while_it_is_closed_waits_and_costs_one_write_more() {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, false, true);
    machine.seen(at(1), closed(8, &line(&[('a', 1), ('c', 3)]), Some(opens(300_000))));
    right(&mut machine);
    assert_eq!(sleeps(&mut machine, 1), at(300_000));

    let sent = write(&mut machine, 300_000);

    assert_eq!((sent.line.length(), opened(&sent)), (1, Some(900_000)));
    machine.wrote(at(300_002), 0, Outcome::Stored(after(9, &sent)));
    assert_eq!(granted(&mut machine, 300_002), Some(9));
}

#[test]
fn a_lock_that_is_handed_over_open_begins_at_once_unless_the_claim_states_a_time() {
    for spaced in [false, true] {
        let mut machine = LockMachine::new(session('a'));
        claims(&mut machine, 0, 1, false, spaced);
        let found = closed(8, &line(&[('a', 1)]), Some(opens(2)));

        machine.seen(at(3), found);
        right(&mut machine);

        let begun = (!spaced).then_some(8);
        if spaced {
            assert_eq!(opened(&write(&mut machine, 3)), Some(600_003));
        } else {
            machine.next(at(3), 0);
        }
        assert_eq!(events(&mut machine), begun);
    }
}

#[test]
fn a_release_hands_the_closed_lock_to_the_next_claim_of_the_same_session_too() {
    let mut machine = spaced_holder();
    machine.give_up(Nonce(1));
    claims(&mut machine, 1000, 2, false, true);

    let sent = write(&mut machine, 1000);

    assert_eq!((&sent.line, opened(&sent)), (&line(&[('a', 2)]), Some(600_001)));
    machine.wrote(at(1001), 0, Outcome::Stored(after(6, &sent)));
    assert_eq!(sleeps(&mut machine, 1001), at(600_001));
    assert_eq!(opened(&write(&mut machine, 600_001)), Some(1_200_001));
}

#[test]
fn a_crashed_session_leaves_its_time_to_its_successor() {
    // It had a reservation, or a tenure that had just begun.
    let mut machine = reading(false, Some(closed(4, &line(&[('b', 9)]), Some(opens(400_000)))));
    let joining = write(&mut machine, 0);
    assert_eq!(opened(&joining), Some(400_000), "another holder's time is left alone");
    machine.wrote(at(1), 0, Outcome::Stored(after(5, &joining)));
    machine.passed(&session('b'));

    let sent = write(&mut machine, 20_000);

    assert_eq!((&sent.line, opened(&sent)), (&line(&[('a', 1)]), Some(400_000)));
    machine.wrote(at(20_001), 0, Outcome::Stored(after(6, &sent)));
    assert_eq!(sleeps(&mut machine, 20_001), at(400_000));
}

#[test]
fn a_reservation_that_is_given_up_leaves_the_earlier_time_and_promotes_the_next_claim() {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, false, true);
    machine.seen(at(1), closed(8, &line(&[('a', 1), ('c', 3)]), Some(opens(300_000))));
    machine.give_up(Nonce(1));

    let sent = write(&mut machine, 2);

    assert_eq!((&sent.line, opened(&sent)), (&line(&[('c', 3)]), Some(300_000)));
}

#[test]
fn a_claim_that_is_given_up_before_its_tenure_or_its_guard_takes_its_time_back() {
    let mut reserved = reading(true, None);
    let sent = write(&mut reserved, 0);
    reserved.wrote(at(1), 0, Outcome::Stored(after(5, &sent)));
    for mut machine in [reserved, spaced_holder()] {
        machine.withdraw(Nonce(1));
        machine.give_up(Nonce(1));

        let sent = write(&mut machine, 2);

        assert_eq!((&sent.line, opened(&sent)), (&Line::default(), None));
    }
}

#[test]
fn a_machine_whose_clock_is_behind_waits_for_the_length_from_its_first_sight_on() {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, false, false);
    machine.seen(at(1000), closed(8, &line(&[('a', 1)]), Some(opens(590_000))));
    set_clock(&mut machine, Duration::ZERO, Duration::from_secs(500));
    assert_eq!(sleeps(&mut machine, 1000), at(601_000));

    // Another program edits the Lease.
    machine.seen(at(300_000), closed(9, &line(&[('a', 1)]), Some(opens(590_000))));

    assert_eq!(sleeps(&mut machine, 300_000), at(601_000));
}

#[test]
fn a_machine_whose_clock_is_ahead_is_early_by_that_much() {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, false, false);
    machine.seen(at(1), closed(8, &line(&[('a', 1)]), Some(opens(400_000))));
    set_clock(&mut machine, Duration::from_secs(60), Duration::ZERO);

    assert_eq!(sleeps(&mut machine, 1), at(340_000));
}

#[test]
fn a_time_more_than_two_lengths_away_is_ignored() {
    for (millis, ignored) in [(1_200_000, false), (1_200_001, true)] {
        let mut machine = LockMachine::new(session('a'));
        claims(&mut machine, 0, 1, false, false);
        machine.seen(at(0), closed(8, &line(&[('a', 1)]), Some(opens(millis))));
        right(&mut machine);

        assert_eq!(granted(&mut machine, 0), ignored.then_some(8), "{millis}");
    }
}

#[test]
fn each_new_time_is_waited_for_from_its_first_sight_on() {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, false, false);
    machine.seen(at(0), closed(8, &line(&[('b', 9), ('a', 1)]), Some(opens(600_000))));
    set_clock(&mut machine, Duration::ZERO, Duration::from_secs(500));

    // The clock of its holder was ten minutes ahead at its first tenure, and is right at the second.
    machine.seen(at(500_000), closed(9, &line(&[('a', 1)]), Some(opens(600_040))));

    assert_eq!(sleeps(&mut machine, 500_000), at(1_100_000));
}

/// The machine has a reservation that is due at 0 ms, and has sent its statement.
fn stating() -> (LockMachine, LockWrite) {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, false, true);
    machine.seen(at(0), stored(8, &line(&[('a', 1)])));
    let sent = write(&mut machine, 0);
    (machine, sent)
}

#[test]
fn no_tenure_begins_before_its_time_is_stored() {
    for failed in [true, false] {
        let (mut machine, _) = stating();
        let outcome = if failed { Outcome::Failed(Failure::default()) } else { Outcome::Conflict };

        machine.wrote(at(1), 0, outcome);
        machine.next(at(1), 0);
        assert!(events(&mut machine).is_none());
        machine.doubt();
        reads(&mut machine, 1000, Some(stored(9, &line(&[('a', 1), ('c', 3)]))));

        let sent = write(&mut machine, 1000);
        assert!(events(&mut machine).is_none());
        assert_eq!(opened(&sent), Some(601_000), "it counts from the last write");
        machine.wrote(at(1001), 0, Outcome::Stored(after(10, &sent)));
        assert_eq!(granted(&mut machine, 1001), Some(10));
    }
}

#[test]
fn a_statement_whose_answer_is_lost_counts_if_it_is_seen_soon() {
    for (millis, counts) in [(1000, true), (TTL.as_secs() * 1000, false)] {
        let (mut machine, sent) = stating();
        machine.wrote(at(1), 0, Outcome::Failed(Failure::default()));

        reads(&mut machine, millis, Some(after(9, &sent)));

        let step = machine.next(at(millis), 0);
        assert_eq!(events(&mut machine), counts.then_some(9));
        if let Step::Write(again) = step {
            assert_eq!((counts, opened(&again)), (false, Some(615_000)));
        }
    }
}

#[test]
fn an_earlier_statement_of_the_same_claim_is_none_of_another_holder() {
    let (mut machine, first) = stating();
    machine.wrote(at(1), 0, Outcome::Failed(Failure::default()));
    reads(&mut machine, 1000, Some(stored(8, &line(&[('a', 1)]))));
    write(&mut machine, 1000);
    // The first write was stored after all, so the second one conflicts.
    machine.wrote(at(1001), 0, Outcome::Conflict);

    machine.seen(at(1002), after(9, &first));

    assert_eq!(granted(&mut machine, 1002), Some(9));
}
