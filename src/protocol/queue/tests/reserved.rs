//! Reservations: what ends one, what a single try finds, and which holders and claims obey a stated time.

use std::sync::Arc;

use super::{
    super::{
        claim::Mode,
        line::Line,
        machine::{Event, LockMachine, Outcome, Step},
        record::{Foreign, LockRecord},
    },
    at_least::{after, claims, closed, granted, opened, opens, reading, right, sleeps, wall},
    machine::{TTL, at, line, reads, stored, write},
    session,
};
use crate::{
    api::error::Loss,
    protocol::{record::Nonce, session::Stored},
};

/// A machine whose claim 1 is reserved until five minutes after the start.
fn reserved(try_once: bool) -> LockMachine {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, try_once, false);
    machine.seen(at(1), closed(8, &line(&[('a', 1)]), Some(opens(300_000))));
    right(&mut machine);
    machine
}

#[test]
fn a_single_try_of_a_closed_lock_writes_nothing_and_returns_the_time() {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, true, true);
    reads(&mut machine, 0, Some(closed(4, &Line::default(), Some(opens(400_000)))));
    right(&mut machine);

    let step = machine.next(at(0), 0);

    assert!(matches!(step, Step::Sleep(_) | Step::Idle), "{step:?}");
    let Some(Event::TooEarly { nonce, closed }) = machine.take_events().pop() else {
        panic!("no answer")
    };
    assert_eq!((nonce, closed.until, closed.time), (Nonce(1), at(400_000), wall(400_000)));
    assert_eq!(closed.stated.holder, "b");
}

#[test]
fn a_single_try_of_a_held_or_reserved_lock_finds_it_in_use() {
    let mut machine = LockMachine::new(session('a'));
    claims(&mut machine, 0, 1, true, false);
    reads(&mut machine, 0, Some(closed(4, &line(&[('b', 9)]), Some(opens(400_000)))));
    right(&mut machine);

    machine.next(at(0), 0);

    let holder = session('b').to_arc();
    assert_eq!(machine.take_events(), [Event::Busy { nonce: Nonce(1), holder }]);
    assert_eq!(machine.closed(at(0)), None);
}

#[test]
fn a_reservation_that_is_lost_reports_that() {
    let mut machine = reserved(false);
    machine.next(at(1), 0);

    machine.seen(at(2), stored(9, &line(&[('c', 3)])));

    let lost = Event::Lost { nonce: Nonce(1), loss: Loss::Taken };
    assert_eq!(machine.take_events(), [lost], "its caller claims again");
}

#[test]
fn a_reservation_that_a_list_does_not_show_is_read() {
    let mut machine = reserved(false);
    sleeps(&mut machine, 1);
    assert!(machine.has_reservation());

    machine.doubt();
    reads(&mut machine, 30_000, None);

    let lost = Event::Lost { nonce: Nonce(1), loss: Loss::Deleted };
    assert_eq!(machine.take_events(), [lost]);
    assert!(!machine.has_reservation());
}

#[test]
fn a_record_that_another_holder_has_keeps_its_time() {
    let held = |version, holder: Option<&str>| {
        let found = closed(version, &Line::default(), Some(opens(400_000)));
        let foreign = holder.map(|holder| Foreign {
            holder: holder.into(),
            lives: TTL,
            spec: holder.into(),
            readable: true,
        });
        let record = LockRecord { foreign, ..found.record.clone() };
        Arc::new(Stored { record, ..(*found).clone() })
    };
    let mut machine = reading(false, Some(held(4, Some("client-go"))));
    let joining = write(&mut machine, 0);
    assert!(!joining.changes_holders);
    assert_eq!(opened(&joining), Some(400_000));

    // It releases the record, and keeps the annotations.
    machine.wrote(at(1), 0, Outcome::Conflict);
    reads(&mut machine, 1000, Some(held(6, None)));

    let reserving = write(&mut machine, 1000);
    assert_eq!((&reserving.line, opened(&reserving)), (&line(&[('a', 1)]), Some(400_000)));
    machine.wrote(at(1001), 0, Outcome::Stored(after(7, &reserving)));
    assert_eq!(sleeps(&mut machine, 1001), at(400_000));
}

#[test]
fn a_time_that_an_operator_removes_opens_the_lock() {
    let mut machine = reserved(false);
    sleeps(&mut machine, 1);

    machine.seen(at(1000), stored(9, &line(&[('a', 1)])));
    reads(&mut machine, 1000, Some(stored(9, &line(&[('a', 1)]))));

    assert_eq!(granted(&mut machine, 1000), Some(9));
}

#[test]
fn only_a_read_that_is_sent_after_the_time_confirms_a_reservation() {
    let shown = |version| closed(version, &line(&[('a', 1)]), Some(opens(300_000)));
    let mut machine = reserved(false);
    assert_eq!(sleeps(&mut machine, 1), at(300_000));

    // A read that was sent before, and an event, which may be old.
    machine.doubt();
    assert_eq!(machine.next(at(299_999), 0), Step::Read);
    machine.read(at(300_001), 0, Ok(Some(shown(8))));
    machine.seen(at(300_002), shown(9));
    assert_eq!(granted(&mut machine, 300_002), None);
    machine.read(at(300_003), 0, Ok(Some(shown(9))));

    assert_eq!(granted(&mut machine, 300_003), Some(9));
}

#[test]
fn a_process_that_was_paused_confirms_its_reservation_although_its_wall_clock_goes_ahead() {
    let mut machine = reserved(false);
    sleeps(&mut machine, 1);
    machine.seen(at(200_000), closed(9, &line(&[('a', 1)]), Some(opens(300_000))));
    sleeps(&mut machine, 200_000);

    // The monotonic clock stood still meanwhile.
    machine.set_wall_clock(at(200_001), wall(3_800_000));

    assert_eq!(machine.next(at(200_001), 0), Step::Read);
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_open_a_lock() {
    let mut machine = reserved(false);
    sleeps(&mut machine, 1);

    machine.set_wall_clock(at(100_000), wall(0));

    assert_eq!(sleeps(&mut machine, 100_000), at(400_000), "as the clock says now");
    machine.set_wall_clock(at(100_001), wall(0) - TTL * 1000);
    assert_eq!(sleeps(&mut machine, 100_001), at(600_001), "the length from its first sight on");
}

#[test]
fn a_single_try_that_got_a_reservation_gives_it_up_and_returns_the_time() {
    let mut machine = reserved(true);

    let sent = write(&mut machine, 1);

    assert_eq!((&sent.line, opened(&sent)), (&Line::default(), Some(300_000)));
    let Some(Event::TooEarly { nonce, closed }) = machine.take_events().pop() else {
        panic!("no answer")
    };
    assert_eq!((nonce, closed.until), (Nonce(1), at(300_000)));
}

#[test]
fn a_time_that_another_program_takes_out_of_each_write_costs_few_requests() {
    let mut machine = reading(true, None);
    let (mut now, mut requests) = (0, 0);
    for version in 5..500 {
        let sent = match machine.next(at(now), 0) {
            Step::Write(sent) => sent,
            Step::Read => {
                machine.read(at(now), 0, Ok(Some(stored(version, &line(&[('a', 1)])))));
                requests += 1;
                continue;
            }
            Step::Sleep(until) => {
                now = u64::try_from(until.since(at(0)).as_millis()).unwrap() + 1;
                if now > 60_000 {
                    break;
                }
                continue;
            }
            other => panic!("{other:?}"),
        };
        machine.wrote(at(now), 0, Outcome::Stored(stored(version, &sent.line)));
        requests += 1;
    }

    assert!((10..100).contains(&requests), "{requests} requests in a minute");
    assert_eq!(machine.take_events(), [], "no tenure began");
}

#[test]
fn a_shared_claim_obeys_a_time_too() {
    let mut machine = LockMachine::new(session('a'));
    machine.claim(at(0), Nonce(1), Mode::Shared, false);
    reads(&mut machine, 0, Some(closed(4, &Line::default(), Some(opens(400_000)))));
    right(&mut machine);
    let sent = write(&mut machine, 0);
    let found = after(5, &sent);
    machine.wrote(at(1), 0, Outcome::Stored(Arc::clone(&found)));
    assert_eq!(sleeps(&mut machine, 1), at(400_000));

    reads(&mut machine, 400_000, Some(found));

    assert_eq!(granted(&mut machine, 400_000), Some(5));
}
