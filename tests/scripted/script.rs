//! Rules of a test: which requests they match, and what happens to them.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::Value;

use super::{answer::Answer, server::Request};

/// A change to an object.
pub(crate) type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Which requests a rule matches.
pub(crate) struct When {
    matches: Box<dyn Fn(&Request) -> bool + Send>,
    skip: usize,
    times: usize,
}

impl When {
    /// All requests for which `matches` returns true.
    pub(crate) fn is(matches: impl Fn(&Request) -> bool + Send + 'static) -> Self {
        Self { matches: Box::new(matches), skip: 0, times: usize::MAX }
    }

    pub(crate) fn verb(verb: &'static str) -> Self {
        Self::is(move |request| request.verb == verb)
    }

    pub(crate) fn any() -> Self {
        Self::is(|_| true)
    }

    pub(crate) fn write() -> Self {
        Self::is(Request::is_write)
    }

    /// Only requests of this client.
    #[must_use]
    pub(crate) fn by(self, who: &'static str) -> Self {
        let Self { matches, skip, times } = self;
        Self {
            matches: Box::new(move |request| request.by == who && matches(request)),
            skip,
            times,
        }
    }

    /// Only the first request, or the first one after those skipped.
    #[must_use]
    pub(crate) fn once(self) -> Self {
        self.times(1)
    }

    #[must_use]
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub(crate) fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// Whether the rule applies to this request. Called once for each request.
    pub(crate) fn takes(&mut self, request: &Request) -> bool {
        if self.times == 0 || !(self.matches)(request) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times = self.times.saturating_sub(usize::from(self.times != usize::MAX));
        true
    }
}

/// What happens to a request.
#[derive(Clone)]
pub(crate) struct Play {
    /// How long the request takes to arrive, besides the latency.
    pub(crate) delay: Duration,
    /// Whether the server carries it out.
    pub(crate) carried_out: bool,
    /// How an admission webhook changes a written object.
    pub(crate) webhook: Option<Edit>,
    pub(crate) reply: Reply,
    /// How long the answer takes to come back, besides the latency.
    pub(crate) late: Duration,
}

/// What the client gets.
#[derive(Clone)]
pub(crate) enum Reply {
    /// The real answer.
    Own,
    /// This answer instead of the real one.
    Is(Answer),
    /// The real answer with a changed object.
    Edited(Edit),
    /// Nothing, and the connection stays open.
    Never,
    /// A reset before the answer.
    Reset,
    /// A reset in the middle of the body.
    ResetMidBody,
    /// The first half of the body, which then ends as if it were complete.
    Truncated,
    /// The body of a watch.
    Feed(Vec<Feed>),
}

/// A piece of the body of a watch.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// This text. No line end is added.
    Text(String),
    /// No bytes, for that long.
    Silence(Duration),
    /// The real events, for that long; each event so many times.
    Live(Duration, usize),
    /// A reset. Without it, the body ends regularly.
    Reset,
}

impl Play {
    const fn new(carried_out: bool, reply: Reply) -> Self {
        Self { delay: Duration::ZERO, carried_out, webhook: None, reply, late: Duration::ZERO }
    }

    /// Carried out and answered as usual.
    pub(crate) const fn as_it_is() -> Self {
        Self::new(true, Reply::Own)
    }

    /// Not carried out, and answered with `answer`.
    pub(crate) const fn instead(answer: Answer) -> Self {
        Self::new(false, Reply::Is(answer))
    }

    /// Carried out, and answered with `reply`.
    pub(crate) const fn carried_out(reply: Reply) -> Self {
        Self::new(true, reply)
    }

    /// Never arrives at the server.
    pub(crate) const fn lost() -> Self {
        Self::new(false, Reply::Never)
    }

    /// Reset before it arrives at the server.
    pub(crate) const fn reset() -> Self {
        Self::new(false, Reply::Reset)
    }

    pub(crate) fn watch(feed: impl Into<Vec<Feed>>) -> Self {
        Self::new(true, Reply::Feed(feed.into()))
    }

    /// A webhook changes the object before it is stored.
    pub(crate) fn webhook(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self { webhook: Some(Arc::new(edit)), ..Self::as_it_is() }
    }

    /// The answer shows another object than the stored one.
    pub(crate) fn shows(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::carried_out(Reply::Edited(Arc::new(edit)))
    }

    #[must_use]
    pub(crate) const fn delayed(mut self, by: Duration) -> Self {
        self.delay = by;
        self
    }

    #[must_use]
    pub(crate) const fn late(mut self, by: Duration) -> Self {
        self.late = by;
        self
    }
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When")
            .field("skip", &self.skip)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Play").field("carried_out", &self.carried_out).finish_non_exhaustive()
    }
}
