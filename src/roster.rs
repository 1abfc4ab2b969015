//! Who stands and who leads, as records show it: for lists and event streams, which people read.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::time::sleep;

use crate::{
    clock::{Clock, Moment},
    driver::answered,
    election::{ElectEvent, ElectWatcher, Member, Role},
    engine::record::Version,
    error::Result,
    name::{LeaseName, Name},
    store::{Change, Entry, Kind, Scope, Store},
};

/// How often a set that cannot be watched, or whose expiry cannot be confirmed, is listed.
const RELIST: Duration = Duration::from_secs(5);

/// How long a list may take: of all its pages, and nobody's tenure depends on it.
pub(crate) const LIST: Duration = Duration::from_secs(10);

/// The live members among `entries`, judged by the time they wrote, with one time to live for clocks that differ.
pub(crate) fn members(scope: &Scope, prefix: &str, entries: &[Entry]) -> Vec<Member> {
    let live = entries.iter().filter(|entry| !is_stale(entry));
    present(scope, prefix, live).into_values().collect()
}

/// Whether a handle with this prefix calls the election so: two applications may each have their `leader`.
fn is_named_by(prefix: &str, entry: &Entry) -> bool {
    let election = match &entry.kind {
        Some(Kind::Candidate(election)) => election,
        _ => &entry.lease,
    };
    Name::parse("election name", &entry.title)
        .is_ok_and(|title| LeaseName::of(prefix, &title) == *election)
}

fn is_stale(entry: &Entry) -> bool {
    entry.found.age.is_some_and(|age| age > entry.found.record.lives() * 2)
}

/// One member for each election and id: a leader's own candidate record says nothing more.
fn present<'a>(
    scope: &Scope,
    prefix: &str,
    live: impl Iterator<Item = &'a Entry>,
) -> BTreeMap<(String, String), Member> {
    let (Scope::Record(namespace, _) | Scope::Elections(namespace, _)) = scope;
    let mut members = BTreeMap::new();
    for entry in live.filter(|entry| is_named_by(prefix, entry)) {
        let role = match &entry.kind {
            Some(Kind::Election) => Role::Leader,
            Some(Kind::Candidate(_)) => Role::Follower,
            Some(Kind::Lock) | None => continue,
        };
        let Some(id) = entry.found.record.holder.as_ref().map(ToString::to_string) else {
            continue;
        };
        let token = entry.found.token().filter(|_| role == Role::Leader).map(Into::into);
        let key = (entry.title.clone(), id.clone());
        if role == Role::Leader || !members.contains_key(&key) {
            members.insert(
                key,
                Member {
                    election: entry.title.clone(),
                    id,
                    role,
                    namespace: namespace.to_string(),
                    token,
                },
            );
        }
    }
    members
}

/// The stream of what changes in `scope`.
pub(crate) async fn watch(
    store: Arc<dyn Store>,
    clock: Clock,
    scope: Scope,
    prefix: String,
) -> Result<ElectWatcher> {
    // What is refused is told now, not by a silent stream.
    let first = answered(&*store, LIST, store.list(&scope)).await?;
    let changes = store.changes(&scope);
    let mut roster = Roster {
        store,
        clock,
        scope,
        prefix,
        changes,
        seen: BTreeMap::new(),
        members: BTreeMap::new(),
        events: VecDeque::new(),
        relist: Moment::NEVER,
    };
    roster.set(first);
    roster.compare();
    Ok(ElectWatcher::new(stream::unfold(roster, |mut roster| async move {
        loop {
            if let Some(event) = roster.events.pop_front() {
                return Some((event, roster));
            }
            roster.next_change().await;
            roster.compare();
        }
    })))
}

/// The records of some elections as this process has observed them.
struct Roster {
    store: Arc<dyn Store>,
    clock: Clock,
    scope: Scope,
    prefix: String,
    changes: BoxStream<'static, Change>,
    seen: BTreeMap<LeaseName, Seen>,
    members: BTreeMap<(String, String), Member>,
    events: VecDeque<ElectEvent>,
    /// When to list, whatever the watch says.
    relist: Moment,
}

struct Seen {
    entry: Entry,
    /// When this process first saw this version.
    since: Moment,
    live: bool,
}

impl Roster {
    async fn next_change(&mut self) {
        let now = self.clock.now();
        let expiry = self
            .seen
            .values()
            .filter(|seen| seen.live)
            .map(|seen| seen.since + seen.entry.found.record.lives())
            .min();
        let due = expiry.unwrap_or(Moment::NEVER).min(self.relist);
        tokio::select! {
            biased;
            change = self.changes.next() => match change {
                Some(Change::All(entries)) => {
                    self.relist = Moment::NEVER;
                    self.set(entries);
                }
                Some(Change::Set(entry)) => self.saw(entry),
                Some(Change::Gone(lease, version)) => self.gone(&lease, version.get()),
                Some(Change::Blind(why)) => {
                    tracing::debug!(%why, "no watch on elections, listing instead");
                    self.relist = self.relist.min(now + RELIST);
                }
                None => {
                    // It should not end: asking on would spin.
                    self.changes = stream::pending().boxed();
                    self.relist = self.relist.min(now + RELIST);
                }
            },
            () = sleep(due.since(now).min(Duration::from_secs(86_400))) => self.expire().await,
        }
    }

    /// Something has not been renewed in time, or there is no watch: a fresh list decides, not silence.
    async fn expire(&mut self) {
        let listed = answered(&*self.store, LIST, self.store.list(&self.scope)).await;
        let now = self.clock.now();
        match listed {
            Ok(entries) => {
                self.set(entries);
                if self.relist <= now {
                    self.relist = now + RELIST;
                }
                for seen in self.seen.values_mut() {
                    seen.live &= now < seen.since + seen.entry.found.record.lives();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot list elections");
                // Nothing is declared dead on hearsay.
                for seen in self.seen.values_mut().filter(|seen| seen.live) {
                    seen.since = seen.since.max(Moment::from_nanos(
                        (now + RELIST)
                            .as_nanos()
                            .saturating_sub(nanos(seen.entry.found.record.lives())),
                    ));
                }
                self.relist = now + RELIST;
            }
        }
    }

    fn set(&mut self, entries: Vec<Entry>) {
        let gone: Vec<_> = self
            .seen
            .keys()
            .filter(|lease| entries.iter().all(|entry| entry.lease != **lease))
            .cloned()
            .collect();
        for lease in gone {
            self.seen.remove(&lease);
        }
        for entry in entries {
            self.saw(entry);
        }
    }

    fn saw(&mut self, entry: Entry) {
        let number = |version: &Version| version.number;
        let known = self.seen.get(&entry.lease).map(|seen| number(&seen.entry.found.version));
        if known.is_none_or(|known| number(&entry.found.version) > known) {
            // Left over from a process that died long before anybody looked.
            let live = known.is_some() || !is_stale(&entry);
            self.seen.insert(entry.lease.clone(), Seen { entry, since: self.clock.now(), live });
        }
    }

    fn gone(&mut self, lease: &LeaseName, version: u64) {
        if self.seen.get(lease).is_some_and(|seen| seen.entry.found.version.number.get() < version)
        {
            self.seen.remove(lease);
        }
    }

    /// Tells the difference between who is there now and who was.
    fn compare(&mut self) {
        let now = present(
            &self.scope,
            &self.prefix,
            self.seen.values().filter(|seen| seen.live).map(|seen| &seen.entry),
        );
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

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
