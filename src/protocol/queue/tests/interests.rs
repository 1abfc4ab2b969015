//! Which other sessions the claims of one lock depend on.

use super::{
    super::{
        claim::Mode,
        line::MAX_QUEUE,
        machine::{LockMachine, Outcome, Step},
    },
    claim,
    machine::{at, line, reads, stored, waiting, wanting, write},
    session,
};

#[test]
fn a_wait_depends_on_the_holder_and_the_one_before_it_and_on_all_once_one_is_over() {
    let mut machine = waiting();
    let queue = [('b', 9), ('c', 2), ('d', 3), ('e', 4), ('a', 1)];
    machine.seen(at(2), stored(6, &line(&queue)));
    let sessions = |machine: &LockMachine, millis| {
        machine.interests(at(millis)).into_iter().map(|one| one.session).collect::<Vec<_>>()
    };
    assert_eq!(sessions(&machine, 2), ['b', 'e'].map(session));
    assert!(machine.interests(at(2)).iter().all(|one| !one.soon), "it may be granted soon");
    assert!(machine.interests(at(5000)).iter().all(|one| one.soon));

    machine.passed(&session('d'));
    assert_eq!(sessions(&machine, 2), ['b', 'c', 'e'].map(session));
}

#[test]
fn a_wait_outside_a_full_queue_depends_on_the_holder_and_on_the_last_in_the_queue() {
    let mut machine = wanting();
    let mut claims: Vec<_> = (1..MAX_QUEUE as u64).map(|nonce| ('c', nonce)).collect();
    claims.insert(0, ('b', 1000));
    let mut full = line(&claims);
    assert!(full.enqueue(claim('d', 2000, Mode::Exclusive)));
    reads(&mut machine, 0, Some(stored(4, &full)));
    assert!(matches!(machine.next(at(0), 0), Step::Sleep(_)), "the queue is full");
    let sessions = |machine: &LockMachine| {
        machine.interests(at(0)).into_iter().map(|one| one.session).collect::<Vec<_>>()
    };
    assert_eq!(sessions(&machine), ['b', 'd'].map(session), "all of them may have crashed");

    machine.passed(&session('d'));
    assert_eq!(sessions(&machine), ['b', 'c'].map(session));
    machine.passed(&session('b'));
    machine.passed(&session('c'));
    assert_eq!(write(&mut machine, 3000).line, line(&[('a', 1)]));
}

#[test]
fn after_one_that_was_over_all_ahead_are_observed_until_their_time_has_passed_too() {
    let mut machine = waiting();
    let queue = [('b', 9), ('c', 2), ('d', 3), ('e', 4), ('a', 1)];
    machine.seen(at(2), stored(6, &line(&queue)));
    machine.passed(&session('e'));
    let sent = write(&mut machine, 3);
    machine.wrote(at(4), 0, Outcome::Stored(stored(7, &sent.line)));
    let sessions = |machine: &LockMachine, millis| {
        machine.interests(at(millis)).into_iter().map(|one| one.session).collect::<Vec<_>>()
    };
    assert_eq!(sessions(&machine, 5), ['b', 'c', 'd'].map(session));
    assert_eq!(sessions(&machine, 15_100), ['b', 'c', 'd'].map(session));
    assert_eq!(sessions(&machine, 60_000), ['b', 'd'].map(session));
}
