//! What a machine remembers of sessions that are over.

use super::{
    machine::{at, line, stored, waiting, write},
    session,
};

#[test]
fn sessions_that_left_the_line_are_forgotten() {
    let mut machine = waiting();
    for (letter, version) in ('b'..='z').zip(6..) {
        machine.seen(at(version * 1000), stored(version, &line(&[(letter, 9), ('a', 1)])));
        machine.passed(&session(letter));
        assert!(machine.interests(at(version * 1000)).is_empty(), "{letter} is over");
    }

    let content = format!("{machine:?}");
    let names = |letter: &char| content.contains(session(*letter).as_str());
    assert_eq!(('b'..='z').filter(names).collect::<Vec<_>>(), ['z'], "the present holder");
}

#[test]
fn all_sessions_of_the_line_that_are_over_are_remembered() {
    let mut machine = waiting();
    let letters: Vec<char> = ('b'..='z').collect();
    let mut claims: Vec<_> = letters.iter().copied().zip(2..).collect();
    claims.push(('a', 1));
    machine.seen(at(2), stored(6, &line(&claims)));
    machine.passed(&session('2'));
    for &letter in &letters {
        machine.passed(&session(letter));
    }

    assert_eq!(write(&mut machine, 3).line, line(&[('a', 1)]));
}
