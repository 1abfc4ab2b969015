//! How a process finds out whether the session of another one is over.

use super::*;
use crate::protocol::session::observer::{Look, Observer};

/// An observer that has read this version at 0 s.
fn observing(found: Option<Arc<Stored<SessionRecord>>>) -> Observer {
    let mut observer = Observer::new(id(), at(0.0));
    assert_eq!(observer.next(at(0.0)), Look::Read);
    observer.answered(at(0.0), TTL / 3, SessionAnswer::Found(found));
    observer
}

/// Answers each read with `found` until the observer wants something else.
fn until_other(observer: &mut Observer, found: &SessionAnswer) -> (Moment, Look) {
    let mut now = at(0.0);
    loop {
        match observer.next(now) {
            Look::Sleep(until) => now = until,
            Look::Read => observer.answered(now, TTL / 3, found.clone()),
            other => return (now, other),
        }
    }
}

#[test]
fn a_session_is_ended_only_by_a_write_on_the_version_that_was_unchanged_for_its_ttl() {
    let mut observer = observing(Some(alive(7)));
    let same = SessionAnswer::Found(Some(alive(7)));
    let (now, look) = until_other(&mut observer, &same);
    let Look::End(base, record) = look else { panic!("{look:?}") };
    assert_eq!(now, at(15.0), "the whole ttl after the first receipt");
    assert!(base == alive(7) && record.is_over());
    assert!(!observer.is_over(), "silence is no proof");

    observer.answered(now, TTL / 3, SessionAnswer::Conflict);
    assert!(!observer.is_over());
    assert_eq!(observer.next(now), Look::Read, "the owner was faster: the wait starts again");
    observer.answered(now, TTL / 3, SessionAnswer::Found(Some(alive(8))));
    assert!(matches!(observer.next(now + TTL / 4), Look::Sleep(_)));
}

#[test]
fn a_stored_end_and_an_ended_record_are_the_proof() {
    let mut observer = observing(Some(alive(7)));
    let (now, _) = until_other(&mut observer, &SessionAnswer::Found(Some(alive(7))));
    observer.answered(now, TTL / 3, SessionAnswer::Written(stored(8, "u", None)));
    assert_eq!(observer.next(now), Look::Over);

    assert!(observing(Some(stored(7, "u", None))).is_over());
}

#[test]
fn a_renewal_restarts_the_wait_and_an_outdated_answer_does_not() {
    let mut observer = observing(Some(alive(7)));
    assert_eq!(observer.next(at(5.0)), Look::Read);
    observer.answered(at(5.0), TTL / 3, SessionAnswer::Found(Some(alive(8))));
    assert_eq!(observer.next(at(10.0)), Look::Read);
    observer.answered(at(10.0), TTL / 3, SessionAnswer::Found(Some(alive(7))));
    let (now, look) = until_other(&mut observer, &SessionAnswer::Found(Some(alive(7))));
    let Look::End(base, _) = look else { panic!("{look:?}") };
    assert_eq!((now, base), (at(20.0), alive(8)));
}

#[test]
fn a_placeholder_that_conflicts_is_tried_again_after_a_growing_pause() {
    let mut observer = observing(None);
    let (mut now, mut creates) = (at(0.0), Vec::new());
    while now < at(60.0) {
        match observer.next(now) {
            Look::Sleep(until) => now = until,
            // A cache shows that the record is missing, and the server that it exists.
            Look::Read => observer.answered(now, TTL / 3, SessionAnswer::Found(None)),
            Look::CreatePlaceholder(_) => {
                creates.push(now);
                assert!(creates.len() < 100, "no pause");
                observer.answered(now, TTL / 3, SessionAnswer::Conflict);
            }
            other => panic!("{other:?}"),
        }
    }
    let pauses: Vec<_> = creates.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(pauses[..6], [0.0, 0.5, 1.0, 2.0, 4.0, 5.0].map(Duration::from_secs_f64));
    assert!(pauses[6..].iter().all(|pause| *pause == TTL / 3), "{pauses:?}");

    let now = *creates.last().unwrap() + TTL / 3;
    assert_eq!(observer.next(now), Look::Read);
    observer.answered(now, TTL / 3, SessionAnswer::Found(Some(alive(7))));
    let now = now + TTL / 3;
    assert_eq!(observer.next(now), Look::Read);
    observer.answered(now, TTL / 3, SessionAnswer::Found(None));
    assert!(matches!(observer.next(now), Look::CreatePlaceholder(_)));
    observer.answered(now, TTL / 3, SessionAnswer::Conflict);
    assert_eq!(observer.next(now), Look::Read, "the pauses begin again");
}

#[test]
fn an_outage_does_not_restart_the_wait_and_is_followed_by_a_read() {
    let mut observer = observing(Some(alive(7)));
    let mut now = at(0.0);
    while now < at(40.0) {
        match observer.next(now) {
            Look::Sleep(until) => now = until,
            Look::Read => observer.answered(now, TTL / 3, SessionAnswer::Failed),
            other => panic!("{other:?} without an answer"),
        }
    }
    let now = until_read(&mut observer, now);
    observer.answered(now, TTL / 3, SessionAnswer::Found(Some(alive(7))));
    let Look::End(base, _) = observer.next(now) else { panic!("the time went on") };
    assert_eq!(base, alive(7));

    observer.answered(now, TTL / 3, SessionAnswer::Failed);
    let now = until_read(&mut observer, now);
    observer.answered(now, TTL / 3, SessionAnswer::Found(Some(alive(8))));
    assert!(matches!(observer.next(now), Look::Sleep(_)), "a renewal restarts it");
}

fn until_read(observer: &mut Observer, mut now: Moment) -> Moment {
    loop {
        match observer.next(now) {
            Look::Sleep(until) => now = until,
            Look::Read => return now,
            other => panic!("{other:?} before a read"),
        }
    }
}

#[test]
fn a_missing_session_is_created_as_a_placeholder_that_is_not_ended() {
    let mut observer = observing(None);
    let Look::CreatePlaceholder(record) = observer.next(at(0.0)) else { panic!("no placeholder") };
    assert!(!record.is_over() && !observer.is_over(), "a missing record is no proof");

    let placeholder = stored(9, "other", Some(NAME));
    observer.answered(at(1.0), TTL / 3, SessionAnswer::Written(Arc::clone(&placeholder)));
    let same = SessionAnswer::Found(Some(Arc::clone(&placeholder)));
    let (now, look) = until_other(&mut observer, &same);
    assert_eq!((now, matches!(look, Look::End(base, _) if base == placeholder)), (at(16.0), true));
}

#[test]
fn a_placeholder_that_exists_already_is_read() {
    let mut observer = observing(None);
    observer.next(at(0.0));
    observer.answered(at(1.0), TTL / 3, SessionAnswer::Conflict);
    assert_eq!(observer.next(at(1.0)), Look::Read);
}

#[test]
fn an_absence_resets_the_wait() {
    let mut observer = observing(Some(alive(7)));
    observer.next(at(5.0));
    observer.answered(at(5.0), TTL / 3, SessionAnswer::Found(None));
    assert!(matches!(observer.next(at(20.0)), Look::CreatePlaceholder(_)));
    observer.answered(at(20.0), TTL / 3, SessionAnswer::Written(stored(9, "v", Some(NAME))));
    assert!(matches!(observer.next(at(24.0)), Look::Sleep(_)));
}
