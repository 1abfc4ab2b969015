//! What is printed on standard output.

use std::io::{self, Write as _};

use anstream::AutoStream;
use leasehold::{Leader, Member, Status};
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
    /// For people; where it is coloured, that is left out where nobody would see it.
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
        let status = match self.status {
            None => "unknown",
            Some(Status::Follower) => "follower",
            Some(Status::Leading) => "leading",
            Some(Status::InDoubt) => "in doubt",
            Some(Status::Lost) => "lost",
            Some(Status::Resigned) => "resigned",
            Some(_) => "in a state that this version does not know",
        };
        format!("{}: {status}, {leader} leads", self.election)
    }
}

/// Prints one line; false if nobody reads any more.
pub(crate) fn print(line: &impl Line, output: Output) -> bool {
    match output {
        Output::Text => written(&line.text()),
        Output::Json => json(line),
    }
}

/// Prints an object on one line; false if nobody reads any more.
pub(crate) fn json(object: &impl Serialize) -> bool {
    written(&serde_json::to_string(object).unwrap_or_default())
}

fn written(text: &str) -> bool {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
}
