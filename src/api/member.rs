//! The members of an election, and what changes among them.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use serde::Serialize;

use super::token::Token;

/// The part of a member in its election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum Role {
    /// It leads.
    Leader,
    /// It competes and does not lead.
    Follower,
}

/// One candidate of one election.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Member {
    /// The election's name.
    pub election: String,
    /// The candidate's id.
    pub candidate_id: String,
    /// Whether it leads.
    pub role: Role,
    /// The namespace of the election.
    pub namespace: String,
    /// The fencing token of its tenure, if it leads. `None` also where another program leads, which writes no token.
    ///
    /// On Kubernetes it is also `None` until it is known. The holder states its token from its first renewal on, by
    /// default 5 s after it was elected. A process that saw the claim in its watch knows the token from the claim on. A
    /// leader knows its own token always: see [`Tenure::token`](crate::Tenure::token).
    pub token: Option<Token>,
    /// The text that the candidate was started with: see [`LeaderOptions::payload`](crate::LeaderOptions::payload).
    pub payload: Option<String>,
    /// The place in the order of succession, if the election is a queue: 0 leads, 1 is next. `None` in an election
    /// without a [`Session`](crate::Session), where any candidate may be next.
    pub succession: Option<u32>,
}

/// A change in an election.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "event", content = "member", rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum ElectEvent {
    /// This member leads now.
    Elected(Member),
    /// This member no longer leads.
    Lost(Member),
    /// This candidate is new.
    Joined(Member),
    /// This candidate has left, or its record has expired.
    Left(Member),
}

impl ElectEvent {
    /// The member that the event is about.
    #[must_use]
    pub const fn member(&self) -> &Member {
        match self {
            Self::Elected(member)
            | Self::Lost(member)
            | Self::Joined(member)
            | Self::Left(member) => member,
        }
    }
}

/// A stream of [`ElectEvent`]s that begins with the present state and never ends by itself.
///
/// While the backend cannot be watched the stream is silent. When it can be watched again, the stream reports what
/// has changed meanwhile.
pub struct ElectWatcher(BoxStream<'static, ElectEvent>);

impl ElectWatcher {
    /// A watcher over any stream of events: for implementations of [`Sync`](crate::Sync).
    pub fn new(events: impl Stream<Item = ElectEvent> + Send + 'static) -> Self {
        Self(events.boxed())
    }
}

impl Stream for ElectWatcher {
    type Item = ElectEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ElectEvent>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for ElectWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElectWatcher").finish_non_exhaustive()
    }
}
