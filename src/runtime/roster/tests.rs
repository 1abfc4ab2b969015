//! Each event with each reason, and each way in which a record does not count.

mod queues;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    protocol::record::{Nonce, Record, Version, Versioned, Whole},
    util::clock::Moment,
};

const TTL: Duration = Duration::from_secs(15);

/// A record that was written after the first list, and is alive.
fn seen(kind: Kind, record_name: &str, name: &str, holder: Option<&str>, token: u64) -> Seen {
    let number = NonZeroU64::new(token).unwrap();
    let record = Record {
        holder: holder.map(Into::into),
        nonce: Some(Nonce(1)),
        ttl: Some(TTL),
        token: Some(number),
        ..Record::default()
    };
    let version = Version { number, uid: "uid".into() };
    let found = Versioned { version, record, age: None, whole: Whole::default() };
    let entry = Entry {
        namespace: Namespace::stored("shop"),
        record: lease_name(record_name),
        kind: Some(kind),
        name: name.into(),
        found: Arc::new(found),
        queue: None,
        succession: None,
    };
    Seen::changed(entry, Moment::default())
}

fn lease_name(record: &str) -> RecordName {
    RecordName::stored(record)
}

fn lock(holder: &str, token: u64) -> Seen {
    seen(Kind::Lock, "orders", "orders", Some(holder), token)
}

fn free() -> Seen {
    seen(Kind::Lock, "orders", "orders", None, 9)
}

fn leader(id: &str, token: u64) -> Seen {
    seen(Kind::Election, "billing", "billing", Some(id), token)
}

fn candidate(id: &str) -> Seen {
    let kind = Kind::Candidate(lease_name("billing"));
    seen(kind, &format!("billing-{id}"), "billing", Some(id), 3)
}

fn expired(seen: Seen) -> Seen {
    Seen { expired: true, ..seen }
}

/// As a first list shows a record that was renewed so long ago.
fn listed(Seen { mut entry, .. }: Seen, age: Duration) -> Seen {
    entry.found = Arc::new(Versioned { age: Some(age), ..(*entry.found).clone() });
    Seen::listed(entry, Moment::default())
}

/// The events of each step of a roster that sees these lists of records one after the other.
#[track_caller]
fn events<const N: usize>(steps: [&[Seen]; N]) -> [Vec<String>; N] {
    let mut roster = Roster::default();
    steps.map(|records| {
        roster.update(records.iter(), &Sessions::default()).into_iter().map(line).collect()
    })
}

fn line(event: Event) -> String {
    let RecordEvent { event, holder, token, why, .. } = event.into();
    let token = token.map(|token| format!(" {token}")).unwrap_or_default();
    let why = why.map(|why| format!(" {why:?}")).unwrap_or_default();
    format!("{event:?} {holder}{token}{why}")
}

/// A record has the name of its lock or election, with this prefix before it.
#[derive(Debug)]
struct Prefixed(&'static str);

impl Names for Prefixed {
    fn namespace(&self, text: &str) -> crate::Result<Namespace> {
        Ok(Namespace::stored(text))
    }

    fn record(&self, text: &str) -> crate::Result<RecordName> {
        Ok(RecordName::stored(text))
    }

    fn of(&self, name: &Name) -> RecordName {
        RecordName::stored(&format!("{}{name}", self.0))
    }

    fn candidate(&self, election: &RecordName, id: &Name) -> RecordName {
        RecordName::stored(&format!("{election}-{id}"))
    }
}

fn ids(records: &[Seen]) -> Vec<(String, Role)> {
    members(&Prefixed(""), records)
        .into_iter()
        .map(|member| (member.candidate_id, member.role))
        .collect()
}

#[test]
fn a_lock_is_acquired_and_lost_for_one_of_four_reasons() {
    for (after, events_after) in [
        (vec![free()], vec!["Lost a 5 Released"]),
        (vec![expired(lock("a", 5))], vec!["Lost a 5 Expired"]),
        (vec![lock("b", 7)], vec!["Lost a 5 Succeeded", "Acquired b 7"]),
        (vec![lock("a", 7)], vec!["Lost a 5 Succeeded", "Acquired a 7"]),
        (vec![], vec!["Lost a 5 Deleted"]),
    ] {
        let [begun, renewed, ended, later] =
            events([&[lock("a", 5)], &[lock("a", 5)], &after, &after]);

        assert_eq!(begun, ["Acquired a 5"]);
        assert_eq!((renewed, later), (vec![], vec![]), "a renewal is no event");
        assert_eq!(ended, events_after);
    }
}

/// A state of the leader `a` in this version, after the write with this nonce.
fn leads(version: u64, nonce: u64, token: Option<u64>) -> Seen {
    let mut seen = leader("a", version);
    let record = Record {
        nonce: Some(Nonce(nonce)),
        token: token.and_then(NonZeroU64::new),
        ..seen.entry.found.record.clone()
    };
    seen.entry.found = Arc::new(Versioned { record, ..(*seen.entry.found).clone() });
    seen
}

#[test]
fn a_token_that_becomes_known_is_no_event() {
    let [claimed, edited, renewed, ended] =
        events([&[leads(5, 1, None)], &[leads(6, 1, None)], &[leads(7, 2, Some(5))], &[]]);

    assert_eq!(claimed, ["Joined a", "Elected a"]);
    assert_eq!((edited, renewed), (vec![], vec![]));
    assert_eq!(ended, ["Lost a 5 Deleted", "Left a"], "it is known at the end");
}

#[test]
fn the_next_tenure_of_the_same_holder_is_an_event_before_its_token_is_known() {
    let again = ["Lost a 5 Succeeded", "Elected a"];

    let [_, next, renewed] =
        events([&[leads(7, 2, Some(5))], &[leads(8, 3, None)], &[leads(9, 4, Some(8))]]);
    assert_eq!((next, renewed), (again.map(Into::into).to_vec(), vec![]));

    let [_, missed] = events([&[leads(5, 1, None)], &[leads(9, 4, Some(8))]]);
    assert_eq!(missed, ["Lost a Succeeded", "Elected a 8"]);
}

#[test]
fn a_tenure_of_a_record_that_was_created_again_succeeds_the_old_one() {
    let mut again = lock("a", 8);
    let found = Versioned {
        version: Version { uid: "another".into(), number: NonZeroU64::new(8).unwrap() },
        ..(*again.entry.found).clone()
    };
    again.entry.found = Arc::new(found);

    let [_, unseen] = events([&[lock("a", 5)], &[again.clone()]]);
    let [_, deleted, created] = events([&[lock("a", 5)], &[], &[again]]);

    assert_eq!(unseen, ["Lost a 5 Succeeded", "Acquired a 8"]);
    assert_eq!((deleted, created), (vec!["Lost a 5 Deleted".into()], vec!["Acquired a 8".into()]));
}

#[test]
fn a_candidate_joins_is_elected_loses_and_leaves() {
    let [joined, elected, lost, rejoined, left] = events([
        &[candidate("a")],
        &[leader("a", 5)],
        &[leader("b", 7), candidate("a")],
        &[leader("b", 7), candidate("a")],
        &[leader("b", 7), expired(candidate("a"))],
    ]);

    assert_eq!(joined, ["Joined a"]);
    assert_eq!(elected, ["Elected a 5"]);
    assert_eq!(lost, ["Lost a 5 Succeeded", "Joined b", "Elected b 7"]);
    assert_eq!(rejoined, [""; 0]);
    assert_eq!(left, ["Left a"]);
}

#[test]
fn a_leader_without_a_candidate_record_joins_and_leaves_with_its_tenure() {
    for (after, why) in [
        (vec![seen(Kind::Election, "billing", "billing", None, 9)], "Released"),
        (vec![expired(leader("a", 5))], "Expired"),
        (vec![], "Deleted"),
    ] {
        let [begun, ended] = events([&[leader("a", 5)], &after]);

        assert_eq!(begun, ["Joined a", "Elected a 5"]);
        assert_eq!(ended, [format!("Lost a 5 {why}"), "Left a".into()]);
    }
}

#[test]
fn the_record_of_the_election_counts_before_the_candidate_record_of_its_leader() {
    let both = [candidate("a"), candidate("b"), leader("a", 5)];

    let [begun] = events([&both]);

    assert_eq!(begun, ["Joined a", "Joined b", "Elected a 5"]);
    assert_eq!(ids(&both), [("a".into(), Role::Leader), ("b".into(), Role::Follower)]);
    let expired = [expired(leader("a", 5)), candidate("a")];
    assert_eq!(ids(&expired), [("a".into(), Role::Follower)]);
}

#[test]
fn a_record_of_the_first_list_that_is_older_than_two_ttls_is_left_over() {
    let [at_most, longer] = [TTL * 2, TTL * 2 + Duration::from_nanos(1)];
    let left_over = || listed(leader("a", 5), longer);
    assert_eq!(ids(&[listed(leader("a", 5), at_most)]), [("a".into(), Role::Leader)]);
    assert_eq!(ids(&[left_over(), listed(candidate("b"), longer)]), []);

    let [first, renewed] =
        events([&[left_over(), listed(lock("c", 6), longer)], &[leader("a", 5)]]);
    let [_, later] = events([&[left_over()], &[expired(left_over())]]);

    assert_eq!(first, [""; 0]);
    assert_eq!(renewed, ["Joined a", "Elected a 5"], "its clock is behind");
    assert_eq!(later, [""; 0], "what was never alive does not end");
}

#[test]
fn a_record_written_after_the_first_list_is_alive_whatever_its_time_says() {
    let old = listed(lock("a", 5), TTL * 1000);

    let [_, created] = events([&[], &[Seen { first: false, ..old }]]);

    assert_eq!(created, ["Acquired a 5"]);
}

#[test]
fn a_free_or_expired_record_and_a_record_of_another_program_show_no_holder() {
    let other = Seen { entry: Entry { kind: None, ..lock("a", 5).entry }, ..lock("a", 5) };

    for record in [free(), expired(lock("a", 5)), expired(leader("a", 5)), other] {
        let records = [record];
        let [begun] = events([&records]);
        assert_eq!((begun, ids(&records)), (vec![], vec![]));
    }
}

#[test]
fn two_prefixes_are_two_elections_and_a_handle_sees_its_own() {
    let of = |prefix: &str, id: &str, token| {
        seen(Kind::Election, &format!("{prefix}leader"), "leader", Some(id), token)
    };
    let records = [of("one-", "a", 5), of("two-", "b", 6)];
    let mut roster = Roster::default();

    let begun = roster.update(records.iter(), &Sessions::default());

    let kinds = |prefix| -> Vec<_> {
        let names = Prefixed(prefix);
        let events = begun.iter().filter_map(|event| event.election(&names));
        events.map(|event| (event.member().candidate_id.clone(), event)).collect()
    };
    let [(joined, ElectEvent::Joined(_)), (elected, ElectEvent::Elected(member))] =
        &kinds("one-")[..]
    else {
        panic!("{begun:?}")
    };
    assert_eq!((&**joined, &**elected), ("a", "a"));
    assert_eq!((&*member.election, member.token.map(Token::get)), ("leader", Some(5)));
    assert_eq!(members(&Prefixed("two-"), &records)[0].candidate_id, "b");
    assert_eq!((kinds("").len(), members(&Prefixed(""), &records).len()), (0, 0));
    let lines: Vec<_> = begun.into_iter().map(line).collect();
    assert_eq!(
        lines,
        ["Joined a", "Joined b", "Elected a 5", "Elected b 6"],
        "an operator sees all"
    );
}

#[test]
fn an_elect_event_has_the_role_and_token_that_the_record_shows() {
    let mut roster = Roster::default();
    let mut elect = |records: &[Seen]| -> Vec<_> {
        let events = roster.update(records.iter(), &Sessions::default());
        events.iter().filter_map(|event| event.election(&Prefixed(""))).collect()
    };
    let member = |role, token: Option<u64>| Member {
        election: "billing".into(),
        candidate_id: "a".into(),
        role,
        namespace: "shop".into(),
        token: token.and_then(NonZeroU64::new).map(Token::new),
        payload: None,
        succession: None,
    };
    let (follows, leads) = (member(Role::Follower, None), member(Role::Leader, Some(5)));

    assert_eq!(elect(&[candidate("a"), lock("a", 4)]), [ElectEvent::Joined(follows)]);
    assert_eq!(elect(&[leader("a", 5)]), [ElectEvent::Elected(leads.clone())]);
    assert_eq!(elect(&[]), [ElectEvent::Lost(leads.clone()), ElectEvent::Left(leads)]);
}

#[test]
fn an_event_as_json_names_the_election_and_its_candidate() {
    let mut roster = Roster::default();
    let mut json = |records: &[Seen]| -> Vec<_> {
        let events =
            roster.update(records.iter(), &Sessions::default()).into_iter().map(RecordEvent::from);
        events.map(|event| (event.lease.clone(), serde_json::to_value(event).unwrap())).collect()
    };
    let event = |event, kind, name: &str, token: Value, why: Value, holders: &[&str]| {
        let event = json!({ "event": event, "kind": kind, "name": name, "namespace": "shop", "holder": "a",
            "token": token, "why": why, "place": null, "holders": holders });
        (name.to_owned(), event)
    };

    assert_eq!(
        json(&[candidate("a"), lock("a", 5)]),
        [
            event("joined", "election", "billing", Value::Null, Value::Null, &[]),
            event("acquired", "lock", "orders", json!(5), Value::Null, &["a"]),
        ]
    );
    assert_eq!(
        json(&[free()]),
        [
            event("lost", "lock", "orders", json!(5), json!("released"), &[]),
            event("left", "election", "billing", Value::Null, Value::Null, &[]),
        ]
    );
}
