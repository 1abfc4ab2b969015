//! What a session states in the record for others to read.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{
    super::{
        candidate::Candidate,
        claim::Mode,
        line::Line,
        machine::{Failure, LockMachine, Outcome, Step},
        record::{LockRecord, Turn},
    },
    machine::{TTL, at, holding, line, stored, waiting, write},
    session,
};
use crate::protocol::record::Nonce;

/// When a lock that was granted at 1 ms states its token.
const DUE: u64 = 1 + TTL.as_secs() * 1000 / 3;

/// A machine of session `a` that holds since version 5, one of so many locks.
fn holds_one_of(locks: usize) -> LockMachine {
    let mut machine = holding();
    machine.among(0, locks);
    machine
}

fn token(line: &Line) -> Option<u64> {
    line.token(Nonce(1)).map(NonZeroU64::get)
}

#[test]
fn a_lock_that_is_held_for_a_third_of_the_ttl_states_its_token_with_one_write() {
    let mut machine = holds_one_of(1);
    assert_eq!(machine.next(at(1), 0), Step::Sleep(at(DUE)));
    let sent = write(&mut machine, DUE);
    assert_eq!(token(&sent.line), Some(5));
    assert!(!sent.changes_holders && sent.taken().count() == 0);
    machine.wrote(at(DUE), 0, Outcome::Stored(stored(6, &sent.line)));
    assert!(machine.take_events().is_empty(), "the tenure goes on");
    assert!(matches!(machine.next(at(DUE), 0), Step::Sleep(until) if until > at(1_000_000)));

    machine.give_up(Nonce(1));
    assert_eq!(
        write(&mut machine, DUE + 1).line,
        Line::default(),
        "the token goes with its tenure"
    );
}

#[test]
fn a_lock_among_many_and_one_that_is_soon_released_cost_no_write_for_their_tokens() {
    let mut machine = holds_one_of(65);
    assert!(matches!(machine.next(at(DUE), 0), Step::Sleep(until) if until > at(1_000_000)));

    let mut machine = holds_one_of(1);
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, DUE - 2);
    assert_eq!(sent.line, Line::default());
}

/// Another session cannot state it: it does not know which state the holder saw first.
#[test]
fn a_grant_that_was_seen_late_states_the_version_that_was_seen() {
    let mut machine = waiting();
    machine.among(0, 1);
    let granted = line(&[('a', 1)]);
    // Version 6 granted it, and claims joined before the event arrived.
    machine.seen(at(1), stored(8, &granted));
    assert_eq!(token(&write(&mut machine, DUE).line), Some(8));
}

#[test]
fn a_write_for_another_reason_states_the_token_too() {
    let mut machine = holds_one_of(65);
    machine.seen(at(2), stored(6, &line(&[('a', 1), ('b', 2)])));
    machine.passed(&session('b'));
    machine.claim(at(3), Nonce(3), Mode::Exclusive, false);
    let sent = write(&mut machine, 3);
    assert_eq!((sent.line.length(), token(&sent.line)), (1, Some(5)));
}

#[test]
fn a_token_that_cannot_be_stated_costs_few_requests() {
    let failed = || Outcome::Failed(Failure::default());
    let refused = || Outcome::Failed(Failure { refused: true, ..Failure::default() });
    let outcomes: [&dyn Fn() -> Outcome; 3] = [&failed, &refused, &|| Outcome::Conflict];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let (mut machine, mut now, mut sent) = (holds_one_of(1), at(1), 0);
        let found = stored(6, &line(&[('a', 1)]));
        while now < at(3_600_000) {
            match machine.next(now, 0x8000) {
                Step::Write(_) => machine.wrote(now, 0x8000, outcome()),
                Step::Read => machine.read(now, 0x8000, Ok(Some(Arc::clone(&found)))),
                Step::Sleep(until) => {
                    now = until;
                    continue;
                }
                other => panic!("{other:?}"),
            }
            sent += 1;
            assert!(sent <= 60, "{number}: {sent} requests until {now:?}");
        }
        assert!(machine.is_held());
    }
}

/// Others wait for the release, and nobody waits for a token.
#[test]
fn a_release_does_not_wait_because_a_token_could_not_be_stated() {
    let failure = Failure { refused: false, retry_after: Duration::from_secs(30) };
    let mut machine = holds_one_of(1);
    write(&mut machine, DUE);
    machine.wrote(at(DUE), 0, Outcome::Failed(failure));
    assert!(matches!(machine.next(at(DUE), 0), Step::Sleep(until) if until > at(DUE + 30_000)));

    machine.give_up(Nonce(1));
    assert_eq!(machine.next(at(DUE), 0), Step::Read, "the write may have been stored");
    machine.read(at(DUE), 0, Ok(Some(stored(6, &line(&[('a', 1)])))));
    assert_eq!(write(&mut machine, DUE).line, Line::default());
}

#[test]
fn a_token_is_stated_soon_after_another_write_came_first() {
    let mut machine = holds_one_of(1);
    write(&mut machine, DUE);
    machine.wrote(at(DUE), 0, Outcome::Conflict);
    machine.seen(at(DUE), stored(6, &line(&[('a', 1)])));

    let Step::Sleep(again) = machine.next(at(DUE), 0) else { panic!("it waits") };
    assert!(again > at(DUE) && again < at(DUE) + TTL, "{again:?}");
}

#[test]
fn holders_that_were_granted_at_one_instant_state_their_tokens_apart() {
    let due = |nonce: u64| {
        let mut machine = LockMachine::new(session('a'));
        machine.among(0, 1);
        machine.claim(at(0), Nonce(nonce), Mode::Exclusive, false);
        machine.seen(at(1), stored(5, &line(&[('a', nonce)])));
        machine.next(at(1), 0)
    };
    assert_ne!(due(1), due(0x8000 << 48));
}

/// A leader's token is stated at once, but not without end.
#[test]
fn a_token_that_is_taken_out_again_is_not_stated_again_at_once() {
    let mut machine = holds_one_of(1);
    machine.describe(Nonce(1), Arc::new(Candidate { id: "a".into(), payload: None }));
    let found = line(&[('a', 1)]);
    write(&mut machine, DUE);
    machine.wrote(at(DUE), 0, Outcome::Stored(stored(6, &found)));
    assert!(matches!(machine.next(at(DUE), 0), Step::Sleep(until) if until > at(DUE + 1000)));
}

#[test]
fn a_token_that_cannot_be_read_does_not_void_the_line() {
    let text = r#"{"v":1,"holders":[],"queue":[],"tokens":{"x":5,"0000000000000001":0}}"#;
    assert_eq!(Line::parse(text), Some(Line::default()));
}

#[test]
fn a_holder_that_is_void_has_no_token() {
    let mut held = line(&[('a', 1)]);
    held.state_token(&session('a'), Nonce(1), NonZeroU64::new(5).unwrap());
    held.state_token(&session('b'), Nonce(1), NonZeroU64::new(7).unwrap());
    let judge = |holder: &str| {
        let spec = || Arc::from("");
        let turn = Some(Turn::default());
        LockRecord::judge(Some(holder), Some(&held.to_text()), Vec::new(), turn, TTL, spec)
    };
    assert_eq!(judge(session('a').as_str()).token().map(NonZeroU64::get), Some(5));
    let stolen = judge("client-go");
    assert_eq!((stolen.token(), stolen.line), (None, Line::default()));
}
