//! The rules of the machine of one lock.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{
    super::{
        claim::Mode,
        line::{Line, MAX_QUEUE},
        machine::{Event, Failure, LockMachine, Outcome, Step},
        record::{LockRecord, LockWrite, StoredLock},
    },
    claim, session,
};
use crate::{
    api::error::Loss,
    protocol::{
        record::{Nonce, Version, Whole},
        session::Stored,
    },
    util::clock::Moment,
};

pub(super) const TTL: Duration = Duration::from_secs(15);

pub(super) fn at(millis: u64) -> Moment {
    Moment::from_nanos(1_000_000_000) + Duration::from_millis(millis)
}

pub(super) fn stored(version: u64, line: &Line) -> Arc<StoredLock> {
    let version = Version { number: NonZeroU64::new(version).unwrap(), uid: "u".into() };
    let record = LockRecord { line: line.clone(), ..LockRecord::default() };
    Arc::new(Stored { version, record, whole: Whole::default() })
}

/// A line with these claims, promoted: the first one holds.
pub(super) fn line(claims: &[(char, u64)]) -> Line {
    let mut line = Line::default();
    for &(letter, nonce) in claims {
        line.enqueue(claim(letter, nonce, Mode::Exclusive));
    }
    line.promote();
    line
}

/// A machine of session `a` that wants claim 1.
pub(super) fn wanting() -> LockMachine {
    let mut machine = LockMachine::new(session('a'));
    machine.claim(at(0), Nonce(1), Mode::Exclusive, false);
    machine
}

/// The machine has read `found` at this time.
pub(super) fn reads(machine: &mut LockMachine, millis: u64, found: Option<Arc<StoredLock>>) {
    assert_eq!(machine.next(at(millis), 0), Step::Read);
    machine.read(at(millis), 0, Ok(found));
}

#[track_caller]
pub(super) fn write(machine: &mut LockMachine, millis: u64) -> LockWrite {
    match machine.next(at(millis), 0) {
        Step::Write(write) => write,
        other => panic!("no write: {other:?}"),
    }
}

/// A machine of session `a` whose claim 1 holds since version 5.
pub(super) fn holding() -> LockMachine {
    let mut machine = wanting();
    reads(&mut machine, 0, None);
    let sent = write(&mut machine, 0);
    assert_eq!((sent.base, &sent.line), (None, &line(&[('a', 1)])));
    machine.wrote(at(1), 0, Outcome::Stored(stored(5, &sent.line)));
    let token = NonZeroU64::new(5).unwrap();
    assert_eq!(machine.take_events(), [Event::Granted { nonce: Nonce(1), token, slot: 0 }]);
    machine
}

/// A machine of session `a` whose claim 1 waits behind `b`, as version 5 shows.
pub(super) fn waiting() -> LockMachine {
    let mut machine = wanting();
    reads(&mut machine, 0, Some(stored(4, &line(&[('b', 9)]))));
    let sent = write(&mut machine, 0);
    assert_eq!(sent.line, line(&[('b', 9), ('a', 1)]));
    assert!(!sent.changes_holders, "an enqueue leaves the fields of the holder alone");
    machine.wrote(at(1), 0, Outcome::Stored(stored(5, &sent.line)));
    machine
}

pub(super) fn lost(machine: &mut LockMachine) -> Vec<Loss> {
    let loss = |event| match event {
        Event::Lost { loss, .. } => Some(loss),
        _ => None,
    };
    machine.take_events().into_iter().filter_map(loss).collect()
}

fn granted(machine: &mut LockMachine) -> Option<u64> {
    machine.take_events().into_iter().find_map(|event| match event {
        Event::Granted { token, .. } => Some(token.get()),
        _ => None,
    })
}

#[test]
fn an_uncontended_lock_that_is_known_costs_two_writes_and_no_read() {
    let mut machine = holding();
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 2);
    assert_eq!(sent.base, Some(stored(5, &line(&[('a', 1)]))), "never without a version");
    machine.wrote(at(3), 0, Outcome::Stored(stored(6, &sent.line)));
    assert_eq!(machine.next(at(3), 0), Step::Idle);
    assert_eq!(machine.take_events(), [Event::Left { nonce: Nonce(1) }]);

    machine.claim(at(4), Nonce(2), Mode::Exclusive, false);
    assert_eq!(write(&mut machine, 4).line, line(&[('a', 2)]));
}

#[test]
fn a_record_that_is_expected_to_be_absent_is_created_and_read_after_a_conflict() {
    let mut machine = LockMachine::new(session('a')).expecting_absence();
    machine.claim(at(0), Nonce(1), Mode::Exclusive, false);
    assert_eq!(write(&mut machine, 0).base, None);
    machine.wrote(at(1), 0, Outcome::Conflict);
    reads(&mut machine, 2, Some(stored(4, &line(&[('b', 9)]))));
    assert_eq!(write(&mut machine, 2).line, line(&[('b', 9), ('a', 1)]));
}

#[test]
fn a_grant_is_seen_in_any_state_and_its_version_is_the_token() {
    let mut machine = waiting();
    machine.seen(at(2), stored(8, &line(&[('a', 1), ('c', 3)])));
    assert_eq!(granted(&mut machine), Some(8));
    machine.seen(at(3), stored(9, &line(&[('a', 1), ('c', 3), ('d', 4)])));
    assert!(machine.take_events().is_empty(), "the token is fixed for the tenure");
}

#[test]
fn a_grant_of_another_nonce_or_session_is_none() {
    for other in [('a', 7), ('b', 1)] {
        let mut machine = waiting();
        machine.seen(at(2), stored(8, &line(&[other, ('a', 1)])));
        assert_eq!(granted(&mut machine), None, "{other:?}");
    }
}

#[test]
fn a_grant_that_no_caller_wants_is_given_back() {
    let mut machine = LockMachine::new(session('a'));
    machine.seen(at(2), stored(8, &line(&[('a', 7), ('b', 9)])));
    assert_eq!(machine.take_events(), []);
    let sent = write(&mut machine, 2);
    assert_eq!(sent.line, line(&[('b', 9)]), "and the next one is promoted");
    assert!(sent.changes_holders);
}

#[test]
fn an_older_state_is_ignored() {
    let mut machine = holding();
    machine.seen(at(2), stored(4, &Line::default()));
    assert!(machine.is_held());

    let mut machine = waiting();
    machine.seen(at(2), stored(4, &line(&[('a', 1)])));
    assert_eq!(granted(&mut machine), None, "a state of an earlier life of the record");
}

#[test]
fn a_newer_state_without_the_claim_ends_the_tenure() {
    let mut machine = holding();
    machine.seen(at(2), stored(6, &line(&[('b', 1)])));
    assert_eq!(lost(&mut machine), [Loss::Taken]);
}

#[test]
fn a_tenure_ends_with_its_object() {
    let mut machine = holding();
    let again = stored(6, &line(&[('a', 1)]));
    let version = Version { number: again.version.number, uid: "other".into() };
    machine.seen(at(2), Arc::new(Stored { version, ..(*again).clone() }));
    assert_eq!(lost(&mut machine), [Loss::Deleted]);

    let mut machine = holding();
    machine.doubt();
    reads(&mut machine, 2, None);
    assert_eq!(lost(&mut machine), [Loss::Deleted]);
}

#[test]
fn an_event_that_the_label_is_gone_never_grants_and_ends_the_tenure() {
    let mut machine = holding();
    machine.unlabelled(NonZeroU64::new(5).unwrap());
    assert!(machine.is_held(), "of the version of the grant itself: an earlier life");
    machine.unlabelled(NonZeroU64::new(6).unwrap());
    assert_eq!(lost(&mut machine), [Loss::Taken]);

    let mut machine = waiting();
    machine.unlabelled(NonZeroU64::new(8).unwrap());
    assert_eq!(granted(&mut machine), None);
}

#[test]
fn a_holder_without_its_label_is_given_back() {
    let mut machine = holding();
    machine.unlabelled(NonZeroU64::new(6).unwrap());
    assert_eq!(lost(&mut machine), [Loss::Taken]);

    let labelled_away = line(&[('a', 1), ('b', 2)]);
    reads(&mut machine, 3, Some(stored(6, &labelled_away)));

    assert_eq!(write(&mut machine, 3).line.holders[0].claim.nonce, Nonce(2));

    let mut machine = holding();
    machine.unlabelled(NonZeroU64::new(6).unwrap());
    reads(&mut machine, 3, Some(stored(6, &line(&[('b', 2)]))));
    assert_eq!(machine.next(at(3), 0), Step::Idle, "the next one has the lock");
}

#[test]
fn the_reply_to_an_own_release_fills_what_the_event_of_the_same_version_left_open() {
    let mut machine = holding();
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 2);
    machine.unlabelled(NonZeroU64::new(6).unwrap());
    machine.wrote(at(3), 0, Outcome::Stored(stored(6, &sent.line)));
    machine.claim(at(4), Nonce(2), Mode::Exclusive, false);
    assert_eq!(write(&mut machine, 4).base, Some(stored(6, &Line::default())), "no read");
}

#[test]
fn a_claim_that_conflicts_backs_off_and_reads_first() {
    let mut machine = wanting();
    reads(&mut machine, 0, Some(stored(4, &line(&[('b', 9)]))));
    let mut longest = Duration::ZERO;
    let mut now = at(0);
    for version in 5..20 {
        assert!(matches!(machine.next(now, u64::MAX), Step::Write(_)));
        machine.wrote(now, u64::MAX, Outcome::Conflict);
        let Step::Sleep(until) = machine.next(now, 0) else { panic!("no pause") };
        longest = longest.max(until - now);
        now = until;
        assert_eq!(machine.next(now, 0), Step::Read);
        machine.read(now, 0, Ok(Some(stored(version, &line(&[('b', 9)])))));
    }
    assert!(longest <= Duration::from_millis(256), "{longest:?}");
    assert!(longest > Duration::from_millis(128), "{longest:?}");
}

#[test]
fn a_release_that_conflicts_waits_for_the_event_and_reads_only_without_one() {
    let mut machine = holding();
    machine.give_up(Nonce(1));
    write(&mut machine, 2);
    machine.wrote(at(3), 0, Outcome::Conflict);
    assert_eq!(machine.next(at(3), 0), Step::Sleep(at(8)));
    machine.seen(at(4), stored(6, &line(&[('a', 1), ('b', 2)])));
    assert_eq!(write(&mut machine, 4).line, line(&[('b', 2)]));
    machine.wrote(at(5), 0, Outcome::Conflict);
    assert_eq!(machine.next(at(10), 0), Step::Read, "at once, without a pause of its own");
}

#[test]
fn a_conflict_that_an_event_has_overtaken_costs_no_read() {
    let mut machine = holding();
    machine.give_up(Nonce(1));
    write(&mut machine, 2);
    machine.seen(at(3), stored(6, &line(&[('a', 1), ('b', 2)])));
    machine.wrote(at(4), 0, Outcome::Conflict);
    assert_eq!(write(&mut machine, 4).line, line(&[('b', 2)]));
}

#[test]
fn a_claim_whose_conflicts_show_the_record_writes_again_at_once_and_reads_after_each_pause() {
    let mut machine = wanting();
    reads(&mut machine, 0, Some(stored(4, &line(&[('b', 9)]))));
    let mut pauses = 0;
    for version in 5..50 {
        write(&mut machine, 0);
        machine.seen(at(0), stored(version, &line(&[('b', version)])));
        machine.wrote(at(0), 0, Outcome::Conflict);
        if version >= 5 + 32 {
            pauses += 1;
            let now = at(pauses * 1000);
            assert_eq!(machine.next(now, 0), Step::Read, "what was known is old after the pause");
            machine.read(now, 0, Ok(Some(stored(version, &line(&[('b', version)])))));
        }
    }
    assert_eq!(pauses, 13);
}

#[test]
fn a_wait_that_vanished_from_the_record_joins_the_queue_again() {
    for gone in [None, Some(stored(7, &line(&[('b', 9)])))] {
        let mut machine = waiting();
        let Step::Sleep(poll) = machine.next(at(1), 0) else { panic!("no poll") };
        assert!(poll <= at(1) + TTL / 3 + TTL / 30);
        assert_eq!(machine.next(poll, 0), Step::Read);
        machine.read(poll, 0, Ok(gone));
        let Step::Write(sent) = machine.next(poll, 0) else { panic!("no write") };
        let present = sent.line.held(&session('a'), Nonce(1)).is_some()
            || sent.line.position(&session('a'), Nonce(1)).is_some();
        assert!(present, "{sent:?}");
    }
}

#[test]
fn only_a_session_that_is_known_to_be_over_is_passed_over() {
    let mut machine = waiting();
    let interests = |machine: &LockMachine| {
        machine.interests(at(1)).into_iter().map(|one| one.session).collect::<Vec<_>>()
    };
    assert_eq!(interests(&machine), [session('b')]);
    machine.passed(&session('c'));
    assert!(matches!(machine.next(at(2), 0), Step::Sleep(_)));
    machine.passed(&session('b'));
    assert!(interests(&machine).is_empty());
    let sent = write(&mut machine, 3);
    assert_eq!(sent.line, line(&[('a', 1)]));
    assert!(sent.changes_holders);
}

#[test]
fn a_record_that_is_free_with_a_queue_heals() {
    let mut machine = waiting();
    let mut freed = line(&[('b', 9), ('c', 2), ('a', 1)]);
    freed.holders.clear();
    machine.seen(at(2), stored(6, &freed));
    let sent = write(&mut machine, 2);
    assert_eq!(sent.line.held(&session('c'), Nonce(2)).map(|one| one.slot), Some(0));
    assert_eq!(sent.line.position(&session('a'), Nonce(1)), Some(0));
}

#[test]
fn a_full_queue_is_not_written() {
    let mut machine = wanting();
    let claims: Vec<_> = (0..MAX_QUEUE as u64).map(|nonce| ('b', nonce)).collect();
    let mut full = line(&claims);
    assert!(full.enqueue(claim('b', 1000, Mode::Exclusive)));
    reads(&mut machine, 0, Some(stored(4, &full)));
    let Step::Sleep(until) = machine.next(at(0), 0) else { panic!("no pause") };
    assert!(until >= at(1000), "so that all who wait outside do not come at once");
}

#[test]
fn a_refusal_leaves_nothing_to_be_stored_later() {
    let mut machine = wanting();
    reads(&mut machine, 0, None);
    write(&mut machine, 0);
    let refused = Failure { refused: true, ..Failure::default() };
    machine.wrote(at(1), 0, Outcome::Failed(refused));
    machine.give_up(Nonce(1));
    let Step::Sleep(until) = machine.next(at(1), 0) else { panic!("no pause") };
    assert!(until >= at(1) + TTL / 6);
    assert_eq!(machine.next(until, 0), Step::Read);
    machine.read(until, 0, Ok(None));
    assert_eq!(machine.next(until, 0), Step::Idle);
}

#[test]
fn a_pause_that_the_backend_requests_is_bounded() {
    let mut machine = wanting();
    assert_eq!(machine.next(at(0), 0), Step::Read);
    let failure = Failure { retry_after: Duration::MAX, ..Failure::default() };
    machine.read(at(0), 0, Err(failure));
    let Step::Sleep(until) = machine.next(at(0), 0) else { panic!("no pause") };
    assert!(until <= at(61_000), "{until:?}");
}

#[test]
fn a_read_corrects_an_absence_that_was_wrong() {
    let mut machine = waiting();
    machine.doubt();
    reads(&mut machine, 2, None);
    assert_eq!(write(&mut machine, 2).base, None);
    machine.wrote(at(3), 0, Outcome::Conflict);
    reads(&mut machine, 10, Some(stored(5, &line(&[('b', 9), ('a', 1)]))));
    assert!(matches!(machine.next(at(10), 0), Step::Sleep(_)), "the claim is in the queue");
}

#[test]
fn an_answer_older_than_what_was_known_before_its_request_is_followed_by_a_pause() {
    let mut machine = waiting();
    machine.unlabelled(NonZeroU64::new(9).unwrap());
    reads(&mut machine, 2, Some(stored(5, &line(&[('b', 9), ('a', 1)]))));
    let Step::Sleep(until) = machine.next(at(2), 0) else { panic!("no pause") };
    reads(&mut machine, 10_000, Some(stored(9, &line(&[('a', 1)]))));
    assert!(until > at(2) && machine.is_held());
}
