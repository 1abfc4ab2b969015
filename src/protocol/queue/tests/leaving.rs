//! What the machine of one lock does with claims that were given up, and with a foreign holder.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        line::Line,
        machine::{Event, Failure, Outcome, Step},
        record::{Foreign, StoredLock, Turn},
    },
    machine::{TTL, at, holding, line, lost, reads, stored, waiting, wanting, write},
    session,
};
use crate::{api::error::Loss, protocol::record::Nonce};

#[test]
fn a_cancel_before_the_first_write_costs_nothing() {
    let mut machine = wanting();
    machine.give_up(Nonce(1));
    assert_eq!(machine.next(at(0), 0), Step::Idle);
    assert_eq!(machine.take_events(), [Event::Left { nonce: Nonce(1) }]);
}

#[test]
fn a_cancelled_wait_is_written_out_of_the_queue() {
    let mut machine = waiting();
    machine.give_up(Nonce(1));
    let sent = write(&mut machine, 2);
    assert_eq!(sent.line, line(&[('b', 9)]));
    machine.wrote(at(3), 0, Outcome::Stored(stored(6, &sent.line)));
    assert_eq!(machine.next(at(3), 0), Step::Idle);
}

#[test]
fn an_unanswered_claim_that_was_cancelled_is_made_impossible_by_a_newer_version() {
    for (base, present) in [(None, Line::default()), (Some(4), line(&[('b', 9)]))] {
        let found = base.map(|version| stored(version, &present));
        let mut machine = wanting();
        reads(&mut machine, 0, found.clone());
        write(&mut machine, 0);
        machine.give_up(Nonce(1));
        machine.wrote(at(5000), 0, Outcome::Failed(Failure::default()));
        reads(&mut machine, 6000, found.clone());

        assert!(machine.take_events().is_empty(), "it may still be stored");
        let fence = write(&mut machine, 6000);
        assert_eq!(fence.base, found);
        assert_eq!((&fence.line.holders, &fence.line.queue), (&present.holders, &present.queue));
        assert!(!found.is_some_and(|found| found.record.line == fence.line), "a new version");
        machine.wrote(at(6001), 0, Outcome::Stored(stored(6, &fence.line)));
        machine.next(at(6001), 0);
        assert_eq!(machine.take_events(), [Event::Left { nonce: Nonce(1) }]);
    }
}

#[test]
fn a_cancelled_claim_that_was_stored_after_all_is_taken_out() {
    let mut machine = wanting();
    reads(&mut machine, 0, None);
    write(&mut machine, 0);
    machine.give_up(Nonce(1));
    machine.wrote(at(5000), 0, Outcome::Failed(Failure::default()));
    reads(&mut machine, 6000, Some(stored(5, &line(&[('a', 1)]))));
    assert!(!machine.is_held(), "a claim that was given up never begins");
    assert_eq!(write(&mut machine, 6000).line, Line::default());
}

/// `found` with a foreign holder.
fn foreign(version: u64, queue: &Line, spec: &str) -> Arc<StoredLock> {
    let mut found = (*stored(version, queue)).clone();
    found.record.line.holders.clear();
    found.record.foreign =
        Some(Foreign { holder: "other".into(), lives: TTL, spec: spec.into(), readable: true });
    Arc::new(found)
}

#[test]
fn a_foreign_tenure_is_respected_until_it_is_unchanged_for_its_ttl_and_a_tenth() {
    let mut machine = wanting();
    reads(&mut machine, 0, Some(foreign(4, &Line::default(), "one")));
    let sent = write(&mut machine, 0);
    assert!(sent.line.holders.is_empty() && !sent.changes_holders, "only the queue");
    machine.wrote(at(1), 0, Outcome::Stored(foreign(5, &sent.line, "one")));
    let mut now = at(1);
    machine.seen(at(1), foreign(6, &sent.line, "two"));
    let mut version = 6;
    let took = loop {
        match machine.next(now, 0) {
            Step::Sleep(until) => now = until,
            Step::Read => {
                // Other claims move the version, but not the fields that the holder renews.
                version += 1;
                machine.read(now, 0, Ok(Some(foreign(version, &sent.line, "two"))));
            }
            Step::Write(sent) => break sent,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(now, at(1) + TTL + TTL / 10);
    assert!(took.changes_holders && took.line.held(&session('a'), Nonce(1)).is_some());
}

#[test]
fn a_foreign_takeover_ends_the_tenure() {
    let mut machine = holding();
    machine.seen(at(2), foreign(6, &line(&[('a', 1)]), "one"));
    assert_eq!(lost(&mut machine), [Loss::Taken]);
}

#[test]
fn an_edit_that_leaves_the_name_of_the_holder_alters_the_tenure() {
    let mut machine = holding();
    let mut edited = foreign(6, &Line::default(), "one");
    let named = Arc::make_mut(&mut edited).record.foreign.as_mut().unwrap();
    named.holder = session('a').to_arc();

    machine.seen(at(2), edited);

    assert_eq!(lost(&mut machine), [Loss::Altered]);
}

#[test]
fn a_backend_that_answers_each_read_and_fails_each_write_gets_a_bounded_number_of_requests() {
    let hour = at(3_600_000);
    for (stale, joins) in [(false, false), (true, false), (false, true), (true, true)] {
        let (mut machine, mut now, mut sent) = (wanting(), at(0), 0);
        let mut present = stored(4, &line(&[('b', 9)]));
        Arc::make_mut(&mut present).record.turn = joins.then(Turn::default);
        while now < hour {
            match machine.next(now, 0) {
                Step::Read => machine.read(now, 0, Ok(Some(Arc::clone(&present)))),
                // A write that changes nothing, because a webhook takes its change back.
                Step::Write(_) | Step::Join(_) if stale => {
                    machine.wrote(now, 0, Outcome::Stored(Arc::clone(&present)));
                }
                Step::Write(_) | Step::Join(_) => {
                    machine.wrote(now, 0, Outcome::Failed(Failure::default()));
                }
                Step::Sleep(until) => {
                    now = until;
                    continue;
                }
                Step::Idle => panic!("a caller waits"),
            }
            sent += 1;
            assert!(sent <= 3000, "{sent} requests until {now:?}");
        }
    }
}

#[test]
fn a_long_outage_of_writes_alone_needs_no_more_memory() {
    let mut machine = wanting();
    let mut sizes = Vec::new();
    for round in 1..200 {
        reads(&mut machine, round * 20_000, None);
        write(&mut machine, round * 20_000);
        machine.wrote(at(round * 20_000), 0, Outcome::Failed(Failure::default()));
        sizes.push(format!("{machine:?}").len());
    }
    assert!(sizes[198] <= sizes[10] + 64, "{} and {}", sizes[10], sizes[198]);
}

#[test]
fn a_release_beside_an_editor_that_never_rests_gets_a_bounded_number_of_requests() {
    for overtaken in [false, true] {
        let (mut machine, mut now, mut sent) = (holding(), at(2), 0);
        machine.give_up(Nonce(1));
        while now < at(60_000) {
            let edited = stored(6 + sent, &line(&[('a', 1)]));
            match machine.next(now, 0x8000) {
                Step::Write(_) => {
                    now = now + Duration::from_millis(1);
                    if overtaken {
                        machine.seen(now, edited);
                        machine.wrote(now, 0x8000, Outcome::Conflict);
                    } else {
                        machine.wrote(now, 0x8000, Outcome::Conflict);
                        machine.seen(now, edited);
                    }
                }
                Step::Read => machine.read(now, 0, Ok(Some(edited))),
                Step::Sleep(until) => {
                    now = until;
                    continue;
                }
                other => panic!("{other:?}"),
            }
            sent += 1;
            assert!(sent <= 600, "{sent} requests until {now:?}");
        }
    }
}
