//! The rules of a session, each as a test named after it.

mod observer;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{
    SessionAnswer, SessionId, SessionRecord, Stored,
    heartbeat::{Beat, Heartbeat},
};
use crate::{
    protocol::record::{Version, Whole},
    util::clock::Moment,
};

const TTL: Duration = Duration::from_secs(15);
const NAME: &str = "s15-aaaaaaaaaaaaaaaaaaaa";

fn at(secs: f64) -> Moment {
    Moment::from_nanos(1_000_000_000) + Duration::from_secs_f64(secs)
}

fn id() -> SessionId {
    SessionId::parse(NAME).unwrap()
}

fn stored(version: u64, uid: &str, holder: Option<&str>) -> Arc<Stored<SessionRecord>> {
    let version = Version { number: NonZeroU64::new(version).unwrap(), uid: uid.into() };
    let record = SessionRecord { holder: holder.map(Into::into), mark: 0, identity: "p".into() };
    Arc::new(Stored { version, record, whole: Whole::default() })
}

fn alive(version: u64) -> Arc<Stored<SessionRecord>> {
    stored(version, "u", Some(NAME))
}

fn written(version: u64) -> SessionAnswer {
    SessionAnswer::Written(alive(version))
}

/// A session that was created by a request that was sent at 0 s.
fn created() -> Heartbeat {
    let mut heartbeat = Heartbeat::new(at(0.0), id(), "p".into());
    assert!(matches!(heartbeat.next(at(0.0)), Beat::Create(_)));
    heartbeat.answered(at(1.0), at(0.0), false, written(1));
    heartbeat
}

#[test]
fn a_name_states_the_ttl_and_nothing_else_is_a_name() {
    let id = SessionId::new(Duration::from_secs(7), [u64::MAX, 0]);
    assert_eq!(id.as_str(), "s7-7777777777aaaaaaaaaa");
    assert_eq!(SessionId::parse(id.as_str()), Some(id.clone()));
    assert_eq!(id.ttl(), Duration::from_secs(7));
    assert!(id.as_str().len() <= 63);
    for text in [
        "",
        "orders",
        "s15",
        "s0-aaaaaaaaaaaaaaaaaaaa",
        "s015-aaaaaaaaaaaaaaaaaaaa",
        "s+5-aaaaaaaaaaaaaaaaaaaa",
        "s86401-aaaaaaaaaaaaaaaaaaaa",
        "s15-aaaaaaaaaaaaaaaaaaa",
        "s15-aaaaaaaaaaaaaaaaaaaaa",
        "s15-aaaaaaaaaaaaaaaaaaa1",
        "s15-AAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(SessionId::parse(text), None, "{text}");
    }
}

#[test]
fn the_session_counts_from_before_the_heartbeat_was_sent() {
    let mut heartbeat = created();
    assert_eq!(heartbeat.validity(), at(13.5), "sent at 0, answered at 1");

    assert!(matches!(heartbeat.next(at(5.0)), Beat::Renew(..)));
    heartbeat.answered(at(7.0), at(5.0), false, written(2));
    assert_eq!(heartbeat.validity(), at(18.5));
}

#[test]
fn a_renewal_changes_the_content() {
    let mut heartbeat = created();
    let Beat::Renew(base, record) = heartbeat.next(at(5.0)) else { panic!("no renewal") };
    assert_eq!(base, alive(1));
    assert_ne!(record, base.record, "an identical write is no new version");
}

#[test]
fn three_attempts_fit_between_a_due_renewal_and_the_end_of_the_hold() {
    let mut heartbeat = created();
    let mut now = at(5.0);
    let mut attempts = 0;
    while now < heartbeat.validity() {
        match heartbeat.next(now) {
            Beat::Sleep(until) => now = until,
            _ => attempts += 1,
        }
        heartbeat.tick(now);
    }
    assert!(attempts >= 3, "{attempts}");
}

#[test]
fn an_ambiguous_create_abandons_the_name() {
    for answer in [SessionAnswer::Conflict, SessionAnswer::Failed] {
        let mut heartbeat = Heartbeat::new(at(0.0), id(), "p".into());
        heartbeat.next(at(0.0));
        heartbeat.answered(at(1.0), at(0.0), false, answer);
        assert_eq!(heartbeat.next(at(1.0)), Beat::Lost);
        heartbeat.answered(at(2.0), at(0.0), true, written(1));
        assert_eq!(heartbeat.next(at(2.0)), Beat::Lost, "also if it was stored after all");
    }
}

#[test]
fn an_unanswered_renewal_is_followed_by_a_read_and_then_by_a_renewal_at_once() {
    let mut heartbeat = created();
    heartbeat.next(at(5.0));
    heartbeat.tick(at(7.5));
    assert_eq!(heartbeat.next(at(7.5)), Beat::Read);

    heartbeat.answered(at(8.0), at(7.5), false, SessionAnswer::Found(Some(alive(2))));
    assert_eq!(heartbeat.validity(), at(13.5), "a read proves nothing about time");
    let Beat::Renew(base, _) = heartbeat.next(at(8.0)) else { panic!("no renewal") };
    assert_eq!(base.version.number.get(), 2, "the abandoned renewal was stored");
}

#[test]
fn a_late_answer_counts_from_the_moment_at_which_the_heartbeat_was_sent() {
    let mut heartbeat = created();
    heartbeat.next(at(5.0));
    heartbeat.tick(at(7.5));
    heartbeat.answered(at(9.0), at(5.0), true, written(2));
    assert_eq!(heartbeat.validity(), at(18.5));
}

#[test]
fn a_session_that_was_ended_deleted_or_created_again_is_never_written_again() {
    for found in [
        None,
        Some(stored(2, "u", None)),
        Some(stored(2, "other", Some(NAME))),
        Some(stored(2, "u", Some("another"))),
    ] {
        let mut heartbeat = created();
        heartbeat.next(at(5.0));
        heartbeat.answered(at(5.1), at(5.0), false, SessionAnswer::Conflict);
        assert_eq!(heartbeat.next(at(5.1)), Beat::Read, "{found:?}");
        heartbeat.answered(at(5.2), at(5.1), false, SessionAnswer::Found(found));
        assert_eq!(heartbeat.next(at(5.2)), Beat::Lost);
        assert_eq!(heartbeat.next(at(60.0)), Beat::Lost);
    }
}

#[test]
fn an_end_is_written_once_and_then_the_session_is_lost() {
    let mut heartbeat = created();
    heartbeat.end(at(2.0));
    let Beat::End(base, record) = heartbeat.next(at(2.0)) else { panic!("no end") };
    assert!(record.is_over() && base == alive(1));
    heartbeat.answered(at(2.1), at(2.0), false, SessionAnswer::Written(stored(2, "u", None)));
    assert_eq!(heartbeat.next(at(2.1)), Beat::Lost);
    assert_eq!(heartbeat.validity(), at(13.5), "an end extends nothing");
}

#[test]
fn an_end_that_cannot_be_written_is_given_up_at_the_end_of_the_validity() {
    let mut heartbeat = created();
    heartbeat.end(at(2.0));
    let mut now = at(2.0);
    let mut requests = 0;
    while heartbeat.next(now) != Beat::Lost {
        requests += 1;
        heartbeat.answered(now, now, false, SessionAnswer::Failed);
        now = now + Duration::from_millis(250);
    }
    assert!(now <= at(14.0) && requests <= 60, "{requests} requests until {now:?}");
}

#[test]
fn a_pause_that_the_backend_asks_for_leaves_time_for_two_attempts() {
    for (due, requested, next) in [(5.0, 2, 7.0), (5.0, 10, 8.5), (20.0, 10, 30.0)] {
        let mut heartbeat = created();
        heartbeat.next(at(due));
        heartbeat.answered(at(due), at(due), false, SessionAnswer::Failed);

        heartbeat.pause(at(due), Duration::from_secs(requested));

        assert_eq!(heartbeat.next(at(due)), Beat::Sleep(at(next)), "{requested} s at {due} s");
    }
}

#[test]
fn a_session_whose_record_is_older_than_its_last_renewal_is_lost_after_its_hold() {
    let mut heartbeat = created();
    heartbeat.next(at(5.0));
    heartbeat.answered(at(5.0), at(5.0), false, written(9));
    for (time, is_lost) in [(10.0, false), (18.6, true)] {
        assert!(matches!(heartbeat.next(at(time)), Beat::Renew(..)));
        heartbeat.answered(at(time), at(time), false, SessionAnswer::Conflict);
        let read_at = at(time + 0.3);
        assert_eq!(heartbeat.next(read_at), Beat::Read);
        heartbeat.answered(read_at, read_at, false, SessionAnswer::Found(Some(alive(3))));
        assert_eq!(heartbeat.is_lost(), is_lost, "a server that lags behind catches up");
    }
}

#[test]
fn an_outage_costs_a_bounded_number_of_heartbeats() {
    let mut heartbeat = created();
    let (mut now, mut sent) = (at(0.0), 0);
    while now < at(3600.0) {
        heartbeat.tick(now);
        if let Beat::Sleep(until) = heartbeat.next(now) {
            now = until;
        } else {
            sent += 1;
            heartbeat.answered(now, now, false, SessionAnswer::Failed);
        }
    }
    assert!(sent <= 900, "{sent} requests in an hour");
}

#[test]
fn of_two_copies_of_a_session_one_is_lost_at_its_next_heartbeat() {
    let mut copies = [created(), created()];
    let mut present = alive(1);
    for (copy, secs) in [(0, 5_u8), (1, 6), (0, 7), (1, 8)] {
        let (heartbeat, now) = (&mut copies[copy], at(secs.into()));
        heartbeat.set_random(secs.into());
        for _ in 0..3 {
            let answer = match heartbeat.next(now) {
                Beat::Renew(base, record) if base.version == present.version => {
                    let mut next = (*alive(base.version.number.get() + 1)).clone();
                    next.record = record;
                    present = Arc::new(next);
                    SessionAnswer::Written(Arc::clone(&present))
                }
                Beat::Renew(..) => SessionAnswer::Conflict,
                Beat::Read => SessionAnswer::Found(Some(Arc::clone(&present))),
                _ => break,
            };
            heartbeat.answered(now, now, false, answer);
        }
    }
    assert_eq!(copies.map(|copy| copy.is_lost()), [false, true]);
}

#[test]
fn a_heartbeat_that_changed_nothing_is_not_confirmed() {
    let mut heartbeat = created();
    heartbeat.next(at(5.0));
    heartbeat.answered(at(5.0), at(5.0), false, written(1));
    assert_eq!(heartbeat.validity(), at(13.5), "other processes see the same version");
    assert_eq!(heartbeat.next(at(5.0)), Beat::Read);
    heartbeat.answered(at(5.1), at(5.0), true, written(1));
    assert_eq!(heartbeat.validity(), at(13.5), "nor if the answer is late");
}
