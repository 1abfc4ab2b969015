//! The events of the queue of a lock, and of an election with a queue.

use super::*;
use crate::{
    protocol::{queue::record::LockRecord, session::SessionId},
    store::ListedSession,
};

const A: &str = "s15-aaaaaaaaaaaaaaaaaaaa";
const B: &str = "s15-bbbbbbbbbbbbbbbbbbbb";
const C: &str = "s15-cccccccccccccccccccc";

/// The claim of this session with this nonce.
fn claim(session: &str, nonce: u64) -> String {
    format!("{session}/{}", Nonce(nonce))
}

/// The record of `base` with these holders and this queue.
fn queued(mut base: Seen, holders: &[&str], queue: &[&str], candidates: &Value) -> Seen {
    let text = json!({ "v": 1, "holders": holders, "queue": queue, "candidates": candidates });
    let holder = holders.first().map(|holder| holder.split('/').next().unwrap());
    let spec = || "".into();
    let judged = LockRecord::judge(holder, Some(&text.to_string()), Vec::new(), None, TTL, spec);
    assert_eq!(judged.foreign, None, "{text}");
    let record = Record { holder: holder.map(Into::into), ..Record::default() };
    base.entry.found = Arc::new(Versioned { record, ..(*base.entry.found).clone() });
    base.entry.queue = Some(Arc::new(judged));
    base
}

/// The lock `orders` with these holders and this queue.
fn orders(holders: &[&str], queue: &[&str]) -> Seen {
    queued(free(), holders, queue, &json!({}))
}

/// The events that lead from one state to the next, with places and holders.
#[track_caller]
fn queue_events<const N: usize>(steps: [(&[Seen], &Sessions); N]) -> [Vec<String>; N] {
    let mut roster = Roster::default();
    let short = |session: &str| session.replace("s15-", "")[..1].to_owned();
    steps.map(|(records, sessions)| {
        let events = roster.update(records.iter(), sessions).into_iter().map(RecordEvent::from);
        let lines = events.map(|event| {
            let RecordEvent { event, holder, why, place, holders, .. } = event;
            let why = why.map(|why| format!(" {why:?}")).unwrap_or_default();
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            let holders: Vec<_> = holders.iter().map(|holder| short(holder)).collect();
            format!("{event:?} {}{why}{place} [{}]", short(&holder), holders.join(" "))
        });
        lines.collect()
    })
}

/// The same, while no session is known to be over.
#[track_caller]
fn alive<const N: usize>(steps: [&[Seen]; N]) -> [Vec<String>; N] {
    let sessions = Sessions::default();
    queue_events(steps.map(|records| (records, &sessions)))
}

#[test]
fn the_present_state_of_a_queue_is_reported_in_its_order() {
    let [a, b, c] = [claim(A, 1), claim(B, 2), claim(C, 3)];

    let [begun] = alive([&[orders(&[&a], &[&c, &b])]]);

    assert_eq!(begun, ["Joined c at 1 [a]", "Joined b at 2 [a]", "Acquired a [a]"]);
}

#[test]
fn a_waiter_joins_at_its_place_and_then_acquires_the_lock_or_leaves() {
    let [a, b, c] = [claim(A, 1), claim(B, 2), claim(C, 3)];
    let [begun, joined, again, left, passed_on, released] = alive([
        &[orders(&[&a], &[])],
        &[orders(&[&a], &[&b, &c])],
        &[orders(&[&a], &[&b, &c])],
        &[orders(&[&a], &[&c])],
        &[orders(&[&c], &[])],
        &[orders(&[], &[])],
    ]);

    assert_eq!(begun, ["Acquired a [a]"], "a lock that is free at once has no queue");
    assert_eq!(joined, ["Joined b at 1 [a]", "Joined c at 2 [a]"]);
    assert_eq!(again, [""; 0]);
    assert_eq!(left, ["Left b at 1 [a]"], "a waiter that moves up is no event");
    assert_eq!(
        passed_on,
        ["Lost a Succeeded [c]", "Acquired c [c]"],
        "a waiter that wins does not leave"
    );
    assert_eq!(released, ["Lost c Released []"]);
}

#[test]
fn a_session_that_releases_and_waits_again_joins_the_queue() {
    let [a, again, b] = [claim(A, 1), claim(A, 2), claim(B, 3)];

    let [_, next, back] =
        alive([&[orders(&[&a], &[&b])], &[orders(&[&b], &[&again])], &[orders(&[&again], &[])]]);

    assert_eq!(next, ["Lost a Succeeded [b]", "Joined a at 1 [b]", "Acquired b [b]"]);
    assert_eq!(back, ["Lost b Succeeded [a]", "Acquired a [a]"]);
}

#[test]
fn each_holder_of_a_shared_lock_acquires_it_and_releases_it() {
    let shared = |session, nonce| format!("{}/shared", claim(session, nonce));
    let [a, b, c] = [shared(A, 1), shared(B, 2), shared(C, 3)];

    let [_, second, first_gone, replaced] = alive([
        &[orders(&[&a], &[])],
        &[orders(&[&a, &b], &[])],
        &[orders(&[&b], &[])],
        &[orders(&[&c], &[])],
    ]);

    assert_eq!(second, ["Acquired b [a b]"]);
    assert_eq!(first_gone, ["Lost a Released [b]"], "no other tenure began");
    assert_eq!(replaced, ["Lost b Succeeded [c]", "Acquired c [c]"]);
}

#[test]
fn a_claim_whose_session_is_over_leaves_or_loses_the_lock() {
    let line = [orders(&[&claim(A, 1)], &[&claim(B, 2), &claim(C, 3)])];
    let listed = |session: &str, is_over| ListedSession {
        id: SessionId::parse(session).unwrap(),
        version: NonZeroU64::new(7).unwrap(),
        is_over,
        age: None,
    };
    let (alive, mut over) = (Sessions::default(), Sessions::default());
    over.update(Moment::default(), vec![listed(A, true), listed(C, false)]);

    let [begun, ended] = queue_events([(&line, &alive), (&line, &over)]);

    assert_eq!(begun, ["Joined b at 1 [a]", "Joined c at 2 [a]", "Acquired a [a]"]);
    assert_eq!(ended, ["Lost a Expired []", "Left b at 1 []"], "b is not listed any more");
}

#[test]
fn a_lock_that_another_elector_holds_keeps_its_queue() {
    let mut taken = orders(&[], &[&claim(B, 2)]);
    let text = json!({ "v": 1, "holders": [claim(A, 1)], "queue": [claim(B, 2)] }).to_string();
    let judged =
        LockRecord::judge(Some("x-elector"), Some(&text), Vec::new(), None, TTL, || "".into());
    taken.entry.found = lock("x-elector", 5).entry.found;
    taken.entry.queue = Some(Arc::new(judged));

    let [_, ended] = alive([&[orders(&[&claim(A, 1)], &[&claim(B, 2)])], &[taken]]);

    assert_eq!(ended, ["Lost a Succeeded [x]", "Acquired x [x]"]);
}

#[test]
fn the_candidates_of_an_election_join_its_queue() {
    let candidates = json!({
        Nonce(1).to_string(): { "id": "a" },
        Nonce(2).to_string(): { "id": "b" },
    });
    let billing = |holders: &[&str], queue: &[&str]| {
        let base = seen(Kind::Election, "billing", "billing", None, 5);
        queued(base, holders, queue, &candidates)
    };
    let [a, b] = [claim(A, 1), claim(B, 2)];

    let [begun, joined, elected, left] = alive([
        &[billing(&[&a], &[])],
        &[billing(&[&a], &[&b])],
        &[billing(&[&b], &[])],
        &[billing(&[], &[])],
    ]);

    assert_eq!(begun, ["Joined a [a]", "Elected a [a]"]);
    assert_eq!(joined, ["Joined b at 1 [a]"]);
    assert_eq!(elected, ["Lost a Succeeded [b]", "Elected b [b]", "Left a [b]"]);
    assert_eq!(left, ["Lost b Released []", "Left b []"]);
}
