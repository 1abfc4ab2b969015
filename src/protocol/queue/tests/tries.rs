//! Claims that are answered without a wait: single tries, and those of another mode.

use super::{
    super::{
        claim::Mode,
        machine::{Event, Outcome},
    },
    machine::{at, line, reads, stored, waiting, write},
    session, slots,
};
use crate::protocol::record::Nonce;

#[test]
fn a_single_try_is_answered_from_a_state_that_is_not_older_than_the_call() {
    let mut machine = waiting();
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 2);
    machine.wrote(at(3), 0, Outcome::Stored(stored(6, &sent.line)));
    machine.next(at(3), 0);
    machine.take_events();

    machine.claim(at(60_000), Nonce(2), Mode::Exclusive, true);
    reads(&mut machine, 60_000, Some(stored(6, &sent.line)));
    machine.next(at(60_000), 0);
    let holder = session('b').to_arc();
    assert_eq!(machine.take_events(), [Event::Busy { nonce: Nonce(2), holder }]);
    let observed = machine.interests(at(60_001));
    assert_eq!(observed[0].session, session('b'), "a later try may find it over");
    machine.passed(&session('b'));
    machine.claim(at(90_000), Nonce(3), Mode::Exclusive, true);
    assert_eq!(write(&mut machine, 90_000).line, line(&[('a', 3)]));
}

#[test]
fn another_mode_is_reported_and_not_mixed() {
    let mut machine = waiting();
    machine.claim(at(1), Nonce(2), slots(2), false);
    reads(&mut machine, 2, Some(stored(5, &line(&[('b', 9), ('a', 1)]))));
    machine.next(at(2), 0);
    let in_use = Mode::Exclusive;
    assert_eq!(machine.take_events(), [Event::Mismatch { nonce: Nonce(2), in_use }]);
}
