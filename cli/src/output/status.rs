//! How a candidacy stands, as it changes.

use std::{pin::Pin, sync::Arc};

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use leasehold::{Leader, Member, Status};
use schemars::JsonSchema;
use serde::Serialize;

use super::lines::Line;

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

/// A stream of how it stands: each change once, however many parts of it change at once, beginning with the present.
pub(crate) struct Stands {
    leader: Arc<Leader>,
    namespace: String,
    news: Pin<Box<dyn Stream<Item = ()> + Send>>,
    last: Option<Stand>,
}

impl Stands {
    pub(crate) fn of(leader: &Arc<Leader>, namespace: &str) -> Self {
        let news = stream::select(leader.status().map(|_| ()), leader.observe().map(|_| ()));
        Self {
            leader: Arc::clone(leader),
            namespace: namespace.into(),
            news: Box::pin(news),
            last: None,
        }
    }

    /// The next; nothing after it has resigned.
    pub(crate) async fn next(&mut self) -> Option<Stand> {
        loop {
            self.news.next().await?;
            // The rest of what has changed with it.
            while let Some(Some(())) = self.news.next().now_or_never() {}
            let stand = Stand::now(&self.leader, &self.namespace);
            if self.last.as_ref() != Some(&stand) {
                self.last = Some(stand.clone());
                return Some(stand);
            }
        }
    }
}
