//! Claims that are added without a condition, and the writes that take them into the queue.

use std::sync::Arc;

use super::{
    super::{
        claim::Mode,
        line::Line,
        machine::{Event, Failure, LockMachine, Outcome, Step},
        record::{Condition, Foreign, Join, LockRecord, LockWrite, StoredLock, Turn},
    },
    claim,
    machine::{TTL, at, line, reads, stored, wanting, write},
    session,
};
use crate::protocol::record::Nonce;

/// A record that can be joined.
fn joinable(version: u64, line: &Line, number: u64, epoch: u64) -> Arc<StoredLock> {
    let mut found = stored(version, line);
    Arc::make_mut(&mut found).record.turn = Some(Turn { number, epoch });
    found
}

/// `line` with claims that joined it.
fn joined(line: &Line, claims: &[(char, u64)]) -> Line {
    let mut line = line.clone();
    line.joined.extend(claims.iter().map(|&(letter, nonce)| claim(letter, nonce, Mode::Exclusive)));
    line
}

#[track_caller]
fn join(machine: &mut LockMachine, millis: u64) -> Join {
    match machine.next(at(millis), 0) {
        Step::Join(join) => join,
        other => panic!("no join: {other:?}"),
    }
}

/// A machine of session `a` that knew the lock as free, and whose write found another turn.
fn outdated() -> LockMachine {
    let mut machine = wanting();
    reads(&mut machine, 0, Some(joinable(4, &Line::default(), 7, 1)));
    let sent = write(&mut machine, 0);
    assert_eq!((&sent.line, sent.condition), (&line(&[('a', 1)]), Condition::Turn));
    machine.wrote(at(1), 0, Outcome::Conflict);
    machine
}

/// A machine of session `a` whose claim 1 is on its way to the line that is returned, which `b` holds.
fn joining() -> (LockMachine, Line) {
    let (mut machine, held) = (wanting(), line(&[('b', 9)]));
    reads(&mut machine, 0, Some(joinable(4, &held, 7, 1)));
    join(&mut machine, 0);
    (machine, held)
}

/// A machine of session `a` whose claim 1 has joined behind `b`, as version 5 shows.
fn waiting() -> LockMachine {
    let mut machine = wanting();
    reads(&mut machine, 0, Some(joinable(4, &line(&[('b', 9)]), 7, 1)));
    let sent = join(&mut machine, 0);
    assert_eq!((sent.epoch, sent.claims), (1, vec![claim('a', 1, Mode::Exclusive)]));
    let after = joinable(5, &joined(&line(&[('b', 9)]), &[('a', 1)]), 7, 1);
    machine.wrote(at(1), 0, Outcome::Stored(after));
    machine
}

/// A machine of session `a` whose claim 1 holds since version 6.
fn holding() -> LockMachine {
    let mut machine = waiting();
    machine.seen(at(2), joinable(6, &line(&[('a', 1)]), 8, 1));
    assert!(matches!(machine.take_events()[..], [Event::Granted { .. }]));
    machine
}

fn left(machine: &mut LockMachine) -> bool {
    machine.take_events().contains(&Event::Left { nonce: Nonce(1) })
}

fn on_turn(write: &LockWrite) -> (Condition, Turn) {
    (write.condition, write.turn)
}

#[test]
fn a_claim_that_has_to_wait_joins_without_a_condition_on_the_line() {
    let mut machine = waiting();
    assert!(matches!(machine.next(at(1), 0), Step::Sleep(_)), "no other request");
    machine.seen(at(2), joinable(6, &line(&[('a', 1)]), 8, 1));
    assert!(matches!(machine.take_events()[..], [Event::Granted { .. }]));
}

#[test]
fn a_release_hands_over_to_the_queue_and_then_to_those_who_joined_in_the_order_in_which_they_came()
{
    let mut machine = holding();
    let held = line(&[('a', 1), ('b', 2)]);
    machine.seen(at(3), joinable(7, &joined(&held, &[('e', 5)]), 9, 1));
    // A backend lists them in an order of its own.
    let all = joined(&held, &[('c', 3), ('d', 4), ('e', 5)]);
    machine.seen(at(4), joinable(8, &joined(&held, &[('c', 3), ('e', 5)]), 9, 1));
    machine.seen(at(5), joinable(9, &all, 9, 1));
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 6);
    assert_eq!(sent.line, line(&[('b', 2), ('e', 5), ('c', 3), ('d', 4)]));
    assert_eq!(on_turn(&sent), (Condition::Turn, Turn { number: 10, epoch: 1 }));
    assert_eq!(sent.taken().count(), 3);
}

#[test]
fn a_claim_that_joined_a_free_lock_is_granted_by_its_own_write() {
    let mut machine = wanting();
    reads(&mut machine, 0, Some(joinable(4, &line(&[('b', 9)]), 7, 1)));
    join(&mut machine, 0);
    let free = joined(&Line::default(), &[('a', 1)]);
    machine.wrote(at(1), 0, Outcome::Stored(joinable(6, &free, 8, 1)));
    let sent = write(&mut machine, 1);
    assert_eq!((&sent.line, sent.condition), (&line(&[('a', 1)]), Condition::Turn));
}

#[test]
fn a_release_that_missed_a_claim_is_followed_by_its_promotion() {
    let mut machine = holding();
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 3);
    assert_eq!(sent.line, Line::default());
    // The claim saw the lock held, so it waits.
    let after = joined(&Line::default(), &[('b', 2)]);
    machine.wrote(at(4), 0, Outcome::Stored(joinable(8, &after, 9, 1)));
    let sent = write(&mut machine, 4);
    assert_eq!(sent.line, line(&[('b', 2)]));
    machine.wrote(at(5), 0, Outcome::Conflict);
    assert_eq!(machine.next(at(5), 0), Step::Idle, "another process did it");
}

#[test]
fn an_unanswered_join_that_was_cancelled_is_made_impossible_by_a_new_epoch() {
    let (mut machine, held) = joining();
    machine.give_up(Nonce(1));
    machine.wrote(at(1), 0, Outcome::Failed(Failure::default()));
    reads(&mut machine, 1000, Some(joinable(5, &held, 8, 1)));
    let sent = write(&mut machine, 1000);
    assert!(!left(&mut machine), "it may still be stored");
    assert_eq!(on_turn(&sent), (Condition::Turn, Turn { number: 9, epoch: 2 }));
    assert_eq!((&sent.line.holders, sent.line.length()), (&held.holders, 0));
    machine.wrote(at(1001), 0, Outcome::Stored(joinable(6, &sent.line, 9, 2)));
    assert_eq!(machine.next(at(1001), 0), Step::Idle);
    assert!(left(&mut machine));
}

#[test]
fn a_join_of_another_epoch_or_object_is_past() {
    for (uid, epoch) in [("u", 2), ("other", 1)] {
        let (mut machine, held) = joining();
        machine.give_up(Nonce(1));
        machine.wrote(at(1), 0, Outcome::Failed(Failure::default()));
        let mut found = joinable(5, &held, 8, epoch);
        Arc::make_mut(&mut found).version.uid = uid.into();
        reads(&mut machine, 1000, Some(found));
        assert_eq!(machine.next(at(1000), 0), Step::Idle, "{uid} {epoch}");
        assert!(left(&mut machine));
    }
}

#[test]
fn a_late_copy_of_a_join_is_removed() {
    let mut machine = holding();
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 3);
    let late = joined(&sent.line, &[('a', 1)]);
    machine.wrote(at(4), 0, Outcome::Stored(joinable(8, &late, 9, 1)));
    let sent = write(&mut machine, 4);
    assert_eq!((&sent.line, sent.taken().count()), (&Line::default(), 1));
    assert!(!left(&mut machine));
    machine.wrote(at(5), 0, Outcome::Stored(joinable(9, &sent.line, 10, 1)));
    assert_eq!(machine.next(at(5), 0), Step::Idle);
    assert!(left(&mut machine));
}

#[test]
fn a_claim_that_is_written_on_an_outdated_turn_joins_instead_of_a_read() {
    let mut machine = outdated();
    assert_eq!(join(&mut machine, 1).claims, [claim('a', 1, Mode::Exclusive)]);
    machine.wrote(at(2), 0, Outcome::Conflict);
    assert!(matches!(machine.next(at(500), 0), Step::Read), "another object, or another epoch");
}

#[test]
fn a_lock_that_many_want_is_joined_although_it_was_free_when_it_was_last_seen() {
    let mut machine = outdated();
    join(&mut machine, 1);
    let held = line(&[('b', 9)]);
    machine.wrote(at(2), 0, Outcome::Stored(joinable(6, &joined(&held, &[('a', 1)]), 8, 1)));
    machine.seen(at(3), joinable(7, &line(&[('a', 1)]), 9, 1));
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 4);
    machine.wrote(at(5), 0, Outcome::Stored(joinable(8, &sent.line, 10, 1)));

    machine.claim(at(50), Nonce(2), Mode::Exclusive, false);
    assert_eq!(join(&mut machine, 50).claims, [claim('a', 2, Mode::Exclusive)]);
    // No other session wanted the lock, so the next claim takes it at once.
    let free = joined(&Line::default(), &[('a', 2)]);
    machine.wrote(at(51), 0, Outcome::Stored(joinable(9, &free, 10, 1)));
    let sent = write(&mut machine, 51);
    machine.wrote(at(52), 0, Outcome::Stored(joinable(10, &sent.line, 11, 1)));
    machine.give_up(Nonce(2));
    let sent = write(&mut machine, 53);
    machine.wrote(at(54), 0, Outcome::Stored(joinable(11, &sent.line, 12, 1)));
    machine.claim(at(90), Nonce(3), Mode::Exclusive, false);
    assert_eq!(write(&mut machine, 90).line, line(&[('a', 3)]));
}

#[test]
fn a_release_and_a_new_claim_of_a_lock_that_many_want_are_one_write() {
    let mut machine = outdated();
    join(&mut machine, 1);
    machine.seen(at(2), joinable(7, &line(&[('a', 1)]), 9, 1));
    machine.wrote(at(3), 0, Outcome::Stored(joinable(8, &line(&[('a', 1)]), 9, 1)));
    machine.give_up(Nonce(1));
    machine.claim(at(50), Nonce(2), Mode::Exclusive, false);
    assert_eq!(write(&mut machine, 50).line, line(&[('a', 2)]), "no other session waits");
}

#[test]
fn a_copy_of_a_claim_that_is_in_the_line_is_removed_by_the_next_write() {
    let mut machine = waiting();
    let held = line(&[('a', 1)]);
    let copy = vec![claim('a', 1, Mode::Exclusive)];
    let found = LockRecord::judge(
        Some(session('a').as_str()),
        Some(&held.to_text()),
        copy.clone(),
        None,
        TTL,
        || Arc::from(""),
    );
    assert_eq!((&found.line, &found.copies), (&held, &copy));
    let mut state = joinable(6, &held, 8, 1);
    Arc::make_mut(&mut state).record.copies = copy;
    machine.seen(at(2), state);
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 3);
    assert_eq!((&sent.line, sent.taken().count()), (&Line::default(), 1));
}

#[test]
fn a_backend_that_refuses_patches_gets_whole_records() {
    let (mut machine, _) = joining();
    machine.patch_refused(at(1000));
    let sent = write(&mut machine, 1);
    assert_eq!(on_turn(&sent), (Condition::Version, Turn { number: 8, epoch: 1 }));
    assert_eq!(sent.line, line(&[('b', 9), ('a', 1)]));
}

#[test]
fn a_refusal_of_patches_is_forgotten_after_its_time() {
    for (millis, condition) in [(999, Condition::Version), (1000, Condition::Turn)] {
        let mut machine = holding();
        machine.refuse_patches(at(1000));
        machine.refuse_patches(at(500));
        machine.give_up(Nonce(1));
        assert_eq!(write(&mut machine, millis).condition, condition, "after {millis} ms");
    }
}

#[test]
fn a_refusal_of_another_lock_s_patch_leaves_the_request_under_way() {
    let (mut machine, held) = joining();
    machine.refuse_patches(at(1000));
    assert!(machine.is_patching(), "its own answer is to come");
    let after = joinable(5, &joined(&held, &[('a', 1)]), 7, 1);
    machine.wrote(at(1), 0, Outcome::Stored(after));
    assert!(matches!(machine.next(at(1), 0), Step::Sleep(_)), "it waits");
}

#[test]
fn a_claim_that_joined_a_lock_in_another_mode_leaves_it_at_once() {
    let mut machine = outdated();
    join(&mut machine, 1);
    let mut slots = Line::default();
    slots.enqueue(claim('b', 9, super::slots(4)));
    slots.promote();
    let after = joined(&slots, &[('a', 1)]);
    machine.wrote(at(2), 0, Outcome::Stored(joinable(6, &after, 8, 1)));
    let sent = write(&mut machine, 2);
    assert_eq!((&sent.line, sent.taken().count()), (&slots, 1));
    assert!(matches!(machine.take_events()[..], [Event::Mismatch { .. }]));
    machine.wrote(at(3), 0, Outcome::Stored(joinable(7, &slots, 9, 1)));
    assert!(
        matches!(machine.next(at(3), 0), Step::Sleep(_)),
        "it observes the holders for a while"
    );
    assert_eq!(machine.next(at(60_000), 0), Step::Idle);
}

#[test]
fn a_claim_that_joined_is_no_copy_of_a_holder_that_is_void() {
    let held = line(&[('a', 1)]);
    let joins = vec![claim('a', 1, Mode::Exclusive)];
    let spec = || Arc::from("");
    let found = LockRecord::judge(Some("client-go"), Some(&held.to_text()), joins, None, TTL, spec);
    assert_eq!((found.line.joined.len(), found.copies.len()), (1, 0));
}

#[test]
fn a_record_with_a_foreign_holder_is_taken_over_on_its_version_only() {
    let mut machine = wanting();
    let mut found = joinable(4, &Line::default(), 7, 1);
    let foreign =
        Foreign { holder: "other".into(), lives: TTL, spec: "one".into(), readable: true };
    Arc::make_mut(&mut found).record.foreign = Some(foreign);
    reads(&mut machine, 0, Some(Arc::clone(&found)));
    join(&mut machine, 0);
    let mut after = joinable(5, &joined(&Line::default(), &[('a', 1)]), 7, 1);
    Arc::make_mut(&mut after).record.foreign.clone_from(&found.record.foreign);
    machine.wrote(at(1), 0, Outcome::Stored(Arc::clone(&after)));
    let sent = loop {
        match machine.next(at(17_000), 0) {
            Step::Read => machine.read(at(17_000), 0, Ok(Some(Arc::clone(&after)))),
            Step::Write(sent) => break sent,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        sent.condition,
        Condition::Version,
        "the holder renews without a change of the turn"
    );
    assert!(sent.line.held(&session('a'), Nonce(1)).is_some());
}
