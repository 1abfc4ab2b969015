//! Who stands and who leads, as records show it: for lists and event streams, which people read.

use std::collections::{BTreeMap, VecDeque};

use futures::stream;

use crate::{
    Token,
    api::{
        member::{ElectEvent, ElectWatcher, Member, Role},
        name::{LeaseName, Name},
    },
    runtime::observer::{Observer, Seen},
    store::{Entry, Kind},
};

/// The live members among `entries`, judged by the time they wrote, with one time to live for clocks that differ.
pub(crate) fn members(prefix: &str, entries: &[Entry]) -> Vec<Member> {
    let live = entries.iter().filter(|entry| !is_stale(entry));
    present(prefix, live).into_values().collect()
}

/// Whether a handle with this prefix calls the election so: two applications may each have their `leader`.
fn is_named_by(prefix: &str, entry: &Entry) -> bool {
    let election = match &entry.kind {
        Some(Kind::Candidate(election)) => election,
        _ => &entry.lease,
    };
    Name::parse("election name", &entry.name)
        .is_ok_and(|title| LeaseName::of(prefix, &title) == *election)
}

fn is_stale(entry: &Entry) -> bool {
    entry.found.age.is_some_and(|age| age > entry.found.record.lives() * 2)
}

/// One member for each election and id: a leader's own candidate record says nothing more.
fn present<'a>(
    prefix: &str,
    live: impl Iterator<Item = &'a Entry>,
) -> BTreeMap<(String, String), Member> {
    let mut members = BTreeMap::new();
    for entry in live.filter(|entry| is_named_by(prefix, entry)) {
        let role = match &entry.kind {
            Some(Kind::Election) => Role::Leader,
            Some(Kind::Candidate(_)) => Role::Follower,
            Some(Kind::Lock) | None => continue,
        };
        let Some(candidate_id) = entry.found.record.holder.as_ref().map(ToString::to_string) else {
            continue;
        };
        let token = entry.found.token().filter(|_| role == Role::Leader).map(Token::new);
        let key = (entry.name.clone(), candidate_id.clone());
        if role == Role::Leader || !members.contains_key(&key) {
            let (election, namespace) = (entry.name.clone(), entry.namespace.to_string());
            members.insert(key, Member { election, candidate_id, role, namespace, token });
        }
    }
    members
}

/// The stream of what changes among `sightings`.
pub(crate) fn watch(sightings: Observer, prefix: String) -> ElectWatcher {
    let (members, events) = (BTreeMap::new(), VecDeque::new());
    let mut roster = Members { sightings, prefix, members, events };
    roster.compare();
    ElectWatcher::new(stream::unfold(roster, |mut roster| async move {
        loop {
            if let Some(event) = roster.events.pop_front() {
                return Some((event, roster));
            }
            roster.sightings.next().await;
            roster.compare();
        }
    }))
}

/// Who was there when last compared.
struct Members {
    sightings: Observer,
    prefix: String,
    members: BTreeMap<(String, String), Member>,
    events: VecDeque<ElectEvent>,
}

impl Members {
    /// Tells the difference between who is there now and who was.
    fn compare(&mut self) {
        // What was stale when first seen is left over from a process that died long before anybody looked.
        let dead = |seen: &Seen| seen.expired || seen.first && is_stale(&seen.entry);
        let live = self.sightings.seen().filter(|seen| !dead(seen)).map(|seen| &seen.entry);
        let now = present(&self.prefix, live);
        let before = std::mem::replace(&mut self.members, now);
        let leads = |member: &Member| member.role == Role::Leader;
        let mut gone = Vec::new();
        let mut come = Vec::new();
        for (key, old) in &before {
            let new = self.members.get(key);
            if leads(old) && new.is_none_or(|new| !leads(new) || new.token != old.token) {
                self.events.push_back(ElectEvent::Lost(old.clone()));
            }
            if new.is_none() {
                gone.push(ElectEvent::Left(old.clone()));
            }
        }
        for (key, new) in &self.members {
            let old = before.get(key);
            if old.is_none() {
                self.events.push_back(ElectEvent::Joined(new.clone()));
            }
            if leads(new) && old.is_none_or(|old| !leads(old) || new.token != old.token) {
                come.push(ElectEvent::Elected(new.clone()));
            }
        }
        self.events.extend(come);
        self.events.extend(gone);
    }
}
