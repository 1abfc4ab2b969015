//! What happens to locks and elections: the difference between what was there and what is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use leasehold::{LeaseRecord, RecordKind};
use schemars::JsonSchema;
use serde::Serialize;

use super::list::{Look, changed};
use crate::{
    cli::args::LookArgs,
    exit::Outcome,
    output::{
        lines::{Line, print},
        rows::{Record, is_alive, is_named},
        table::{Mood, Row as _},
        warn_once::{MOMENT, Trouble},
    },
};

/// Prints what happens to locks and in elections, until nobody reads any more.
pub(crate) async fn run(args: LookArgs) -> Outcome {
    let look = Look::open(args, Record::WHAT).await?;
    let (mut watch, mut news) = (look.watch().await?, News::default());
    let mut trouble = Trouble::new(&look.object, MOMENT, look.args.say.quiet);
    loop {
        for report in news.compare(&watch.records(), look.args.name.as_deref()) {
            if !print(&Told::now(report, look.args.all_namespaces), look.args.say.output) {
                return Ok(0);
            }
        }
        trouble.look(look.wrong(&watch));
        changed(&mut watch).await;
    }
}

/// Something that happened to a lock or in an election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub(crate) event: What,
    /// Of a lock, or of an election.
    pub(crate) kind: RecordKind,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Whom it is about.
    pub(crate) id: String,
    /// The fencing token of the tenure that began or ended; null where nobody knows.
    pub(crate) token: Option<u64>,
    /// Why a tenure ended; null for what is no end.
    pub(crate) why: Option<Why>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// The lock is held now.
    Acquired,
    /// The candidate leads now.
    Elected,
    /// It holds or leads no more.
    Lost,
    /// The candidate is new.
    Joined,
    /// The candidate has left, or was not heard of for its time to live.
    Left,
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Why {
    /// It was given back.
    Released,
    /// It was not renewed for its time to live, by this process's own clock.
    Expired,
    /// Another tenure has begun.
    Succeeded,
    /// The record was deleted.
    Deleted,
}

/// A line of `watch`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Told {
    /// When this process noticed it, RFC 3339.
    at: String,
    #[serde(flatten)]
    report: Report,
    /// Whether to say in which namespace.
    #[serde(skip)]
    everywhere: bool,
}

impl Told {
    #[expect(clippy::disallowed_methods, reason = "written for people")]
    pub(crate) fn now(report: Report, everywhere: bool) -> Self {
        Self { at: format!("{:.3}", Timestamp::now()), report, everywhere }
    }
}

impl Line for Told {
    fn text(&self) -> String {
        let Report { event, kind, name, namespace, id, token, why } = &self.report;
        let (at, mood) = (&self.at, event.mood().style());
        let event = format!("{event:?}").to_lowercase();
        let kind = if *kind == RecordKind::Lock { "lock" } else { "election" };
        let place = if self.everywhere { format!("{namespace}/") } else { String::new() };
        let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
        let why = why.map(|why| format!(" ({})", format!("{why:?}").to_lowercase()));
        let why = why.unwrap_or_default();
        format!("{at}  {mood}{event:<8}{mood:#}  {kind:<8}  {place}{name}: {id}{token}{why}")
    }
}

impl What {
    const fn mood(self) -> Mood {
        match self {
            Self::Acquired | Self::Elected => Mood::Good,
            Self::Lost => Mood::Bad,
            Self::Joined => Mood::Plain,
            Self::Left => Mood::Quiet,
        }
    }
}

/// Namespace and Lease.
type Place = (String, String);

/// What was there when last looked.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Each as the event that began it.
    tenures: BTreeMap<Place, Report>,
    /// By the election's place, and id.
    candidates: BTreeMap<(Place, String), Report>,
    /// What was stale when first seen: left over from processes that died long before anybody looked.
    stale: BTreeMap<Place, u64>,
    begun: bool,
}

impl News {
    /// What has changed since it was last called; at first, what there is.
    pub(crate) fn compare(&mut self, records: &[LeaseRecord], name: Option<&str>) -> Vec<Report> {
        if !std::mem::replace(&mut self.begun, true) {
            let stale = records.iter().filter(|record| was_stale(record));
            self.stale = stale.map(|record| (place(record), record.version)).collect();
        }
        let wanted = |record: &&LeaseRecord| {
            name.is_none_or(|name| {
                is_named(record, name) || record.election.as_deref() == Some(name)
            })
        };
        let fresh = |record: &&LeaseRecord| {
            is_alive(record) && self.stale.get(&place(record)) != Some(&record.version)
        };
        let (mut tenures, mut candidates) = (BTreeMap::new(), BTreeMap::new());
        for record in records.iter().filter(wanted).filter(fresh) {
            let id = record.holder.clone().unwrap_or_default();
            let election = record.election.clone().unwrap_or_else(|| record.lease.clone());
            let standing = ((record.namespace.clone(), election), id);
            match record.kind {
                RecordKind::Lock => drop(tenures.insert(place(record), began(record))),
                RecordKind::Election => {
                    tenures.insert(place(record), began(record));
                    candidates.insert(standing, stands(record));
                }
                _ => drop(candidates.entry(standing).or_insert_with(|| stands(record))),
            }
        }
        let before = std::mem::replace(&mut self.tenures, tenures);
        let stood = std::mem::replace(&mut self.candidates, candidates);
        let lost = before.iter().filter_map(|(place, old)| self.lost(place, old, records));
        let joined = self.candidates.iter().filter(|(who, _)| !stood.contains_key(who));
        let begun = self.tenures.iter().filter(|(place, new)| before.get(*place) != Some(*new));
        let left = stood.iter().filter(|(who, _)| !self.candidates.contains_key(who));
        let left = left.map(|(_, event)| Report { event: What::Left, ..event.clone() });
        lost.chain(joined.map(|(_, event)| event.clone()))
            .chain(begun.map(|(_, event)| event.clone()))
            .chain(left)
            .collect()
    }

    fn lost(&self, at: &Place, old: &Report, records: &[LeaseRecord]) -> Option<Report> {
        if self.tenures.get(at) == Some(old) {
            return None;
        }
        let why = match records.iter().find(|record| place(record) == *at) {
            None => Why::Deleted,
            Some(record) if record.holder.is_none() => Why::Released,
            Some(record) if record.expired => Why::Expired,
            Some(_) => Why::Succeeded,
        };
        Some(Report { event: What::Lost, why: Some(why), ..old.clone() })
    }
}

/// Whether it looked dead, as written, when its present version was first read.
fn was_stale(record: &LeaseRecord) -> bool {
    let unchanged = record.unchanged_for.unwrap_or_default();
    record.renewed_ago.is_some_and(|ago| ago.saturating_sub(unchanged) > record.ttl * 2)
}

fn place(record: &LeaseRecord) -> Place {
    (record.namespace.clone(), record.lease.clone())
}

fn began(record: &LeaseRecord) -> Report {
    let event = if record.kind == RecordKind::Lock { What::Acquired } else { What::Elected };
    Report {
        event,
        kind: record.kind,
        name: record.name.clone(),
        namespace: record.namespace.clone(),
        id: record.holder.clone().unwrap_or_default(),
        token: record.token,
        why: None,
    }
}

fn stands(record: &LeaseRecord) -> Report {
    Report { event: What::Joined, kind: RecordKind::Election, token: None, ..began(record) }
}
