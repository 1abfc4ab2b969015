//! What is printed on standard output.

use std::io::{self, Write as _};

use leasehold::{ElectEvent, Leader, LeaseRecord, Member, RecordKind, Role, Status};
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::Output;

/// A lock or election that this process holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) holder: String,
    /// The fencing token.
    pub(crate) token: u64,
    /// When it would end if it were not renewed, RFC 3339.
    pub(crate) expires_at: String,
}

/// Something that can be said to people and to programs.
pub(crate) trait Line: Serialize {
    /// For people.
    fn text(&self) -> String;
}

impl Line for Held {
    fn text(&self) -> String {
        let Self { name, namespace, holder, token, .. } = self;
        format!(
            "holding `{name}` in namespace `{namespace}` as {holder}, token {token}, until a signal"
        )
    }
}

/// How a candidate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Stand {
    pub(crate) election: String,
    pub(crate) namespace: String,
    /// This candidate.
    pub(crate) id: String,
    /// How it stands; null before that is known.
    pub(crate) status: Option<Status>,
    /// Who leads; null while nobody does.
    pub(crate) leader: Option<Member>,
}

impl Stand {
    /// Before it is known.
    pub(crate) fn joining(election: &str, namespace: &str, id: &str) -> Self {
        Self {
            election: election.into(),
            namespace: namespace.into(),
            id: id.into(),
            status: None,
            leader: None,
        }
    }

    /// As it is now, by the guard's clock: a lead that has run out is none, whatever was told last.
    pub(crate) fn now(leader: &Leader, namespace: &str) -> Self {
        let status = leader.standing();
        let leads = matches!(status, Status::Leading | Status::InDoubt);
        let primary = leader.primary().filter(|primary| leads || primary.id != leader.id());
        Self {
            status: Some(status),
            leader: primary,
            ..Self::joining(leader.election(), namespace, leader.id())
        }
    }

    /// As it is once it is over.
    pub(crate) fn resigned(&self) -> Self {
        Self { status: Some(Status::Resigned), leader: None, ..self.clone() }
    }

    pub(crate) fn has_resigned(&self) -> bool {
        self.status == Some(Status::Resigned)
    }
}

impl Line for Stand {
    fn text(&self) -> String {
        let leader = self.leader.as_ref().map_or("nobody", |leader| &*leader.id);
        let status = self.status.map(|status| format!("{status:?}").to_lowercase());
        let status = status.unwrap_or_else(|| "unknown".into());
        format!("{}: {status}, {leader} leads", self.election)
    }
}

/// A lock or an election, as its record shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) kind: RecordKind,
    /// Who holds it; null is free.
    pub(crate) holder: Option<String>,
    /// The fencing token of the tenure.
    pub(crate) token: Option<u64>,
    /// How long it lives unrenewed, in seconds.
    pub(crate) ttl_seconds: u64,
    /// How long ago it was renewed, in seconds, by wall clocks.
    pub(crate) age_seconds: Option<u64>,
    /// How long it lives from now on if nobody renews it, in seconds, by wall clocks; 0 has expired.
    pub(crate) left_seconds: Option<u64>,
    /// How often the holder changed.
    pub(crate) transitions: i32,
    /// How many stand in the election; null for a lock.
    pub(crate) candidates: Option<usize>,
}

impl Record {
    pub(crate) fn new(record: &LeaseRecord, all: &[LeaseRecord]) -> Self {
        let held = record.holder.is_some();
        let left = record.age.map(|age| record.ttl.saturating_sub(age).as_secs());
        let stands = |other: &&LeaseRecord| {
            other.kind == RecordKind::Candidate
                && other.name == record.name
                && other.holder.is_some()
        };
        Self {
            name: record.name.clone(),
            namespace: record.namespace.clone(),
            kind: record.kind,
            holder: record.holder.clone(),
            token: record.token,
            ttl_seconds: record.ttl.as_secs(),
            age_seconds: record.age.map(|age| age.as_secs()),
            left_seconds: left.filter(|_| held),
            transitions: record.transitions,
            candidates: (record.kind == RecordKind::Election)
                .then(|| all.iter().filter(stands).count()),
        }
    }

    /// As it is once it has been taken away.
    pub(crate) fn released(self) -> Self {
        Self { holder: None, token: None, age_seconds: Some(0), left_seconds: None, ..self }
    }
}

impl Line for Record {
    fn text(&self) -> String {
        match &self.holder {
            Some(holder) => {
                format!("`{}` in namespace `{}` is held by {holder}", self.name, self.namespace)
            }
            None => format!("`{}` in namespace `{}` is free", self.name, self.namespace),
        }
    }
}

impl Line for Member {
    fn text(&self) -> String {
        self.cells().join("  ")
    }
}

impl Line for ElectEvent {
    fn text(&self) -> String {
        let what = match self {
            Self::Elected(_) => "elected",
            Self::Lost(_) => "lost",
            Self::Joined(_) => "joined",
            Self::Left(_) => "left",
            _ => "changed",
        };
        let Member { election, id, token, .. } = self.member();
        let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
        format!("{what:<8} {election}: {id}{token}")
    }
}

/// A line of a table.
pub(crate) trait Row {
    const HEAD: &'static [&'static str];

    fn cells(&self) -> Vec<String>;
}

impl Row for Member {
    const HEAD: &'static [&'static str] = &["ELECTION", "ID", "ROLE", "TOKEN"];

    fn cells(&self) -> Vec<String> {
        let role = if self.role == Role::Leader { "leader" } else { "follower" };
        vec![self.election.clone(), self.id.clone(), role.into(), shown(self.token.as_ref())]
    }
}

impl Row for Record {
    const HEAD: &'static [&'static str] =
        &["NAME", "KIND", "HOLDER", "TOKEN", "RENEWED", "LEFT", "TRANSITIONS", "CANDIDATES"];

    fn cells(&self) -> Vec<String> {
        let kind = if self.kind == RecordKind::Lock { "lock" } else { "election" };
        let left = match self.left_seconds {
            Some(0) => "expired".into(),
            left => shown(left.map(|left| format!("{left}s")).as_ref()),
        };
        vec![
            self.name.clone(),
            kind.into(),
            self.holder.clone().unwrap_or_else(|| "(free)".into()),
            shown(self.token.as_ref()),
            shown(self.age_seconds.map(|age| format!("{age}s ago")).as_ref()),
            left,
            self.transitions.to_string(),
            shown(self.candidates.as_ref()),
        ]
    }
}

fn shown(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".into(), ToString::to_string)
}

/// Prints an aligned table.
pub(crate) fn table<R: Row>(rows: &[R]) {
    let head = R::HEAD.iter().map(ToString::to_string).collect();
    let lines: Vec<Vec<String>> =
        std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..R::HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut stdout = io::stdout().lock();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        // A reader that has seen enough is no failure.
        let _ = writeln!(stdout, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Prints one line; false if nobody reads any more.
pub(crate) fn print(line: &impl Line, output: Output) -> bool {
    let text = match output {
        Output::Text => line.text(),
        Output::Json => serde_json::to_string(line).unwrap_or_default(),
    };
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
}
