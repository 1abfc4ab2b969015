//! By which a test says what happens to which request.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::Value;

use super::{answer::Answer, server::Request};

/// A change to an object.
pub(crate) type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Which requests are meant.
pub(crate) struct When {
    matches: Box<dyn Fn(&Request) -> bool + Send>,
    skip: usize,
    times: usize,
}

impl When {
    /// Every request for which this is true.
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

    /// Of this client only.
    #[must_use]
    pub(crate) fn by(self, who: &'static str) -> Self {
        let Self { matches, skip, times } = self;
        Self {
            matches: Box::new(move |request| request.by == who && matches(request)),
            skip,
            times,
        }
    }

    /// Only the first that comes, or that comes after those skipped.
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

    /// Whether this request is meant: asked once for each.
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
    /// How long it is on its way.
    pub(crate) delay: Duration,
    pub(crate) carried_out: bool,
    /// What admission makes of a written object.
    pub(crate) webhook: Option<Edit>,
    pub(crate) reply: Reply,
    /// How long the answer is on its way.
    pub(crate) late: Duration,
}

/// What becomes of the answer.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Arrives.
    Own,
    /// Something else arrives.
    Is(Answer),
    /// Another object arrives than is stored.
    Edited(Edit),
    /// Nothing ever arrives.
    Never,
    /// The connection is reset before anything arrives.
    Reset,
    /// The connection is reset in the middle of the body.
    ResetMidBody,
    /// The body ends early, as if it were whole.
    Truncated,
    /// The body of a watch.
    Feed(Vec<Feed>),
}

/// A piece of the body of a watch.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// This text, without a line's end if it has none.
    Text(String),
    /// Nothing, for that long.
    Silence(Duration),
    /// What really happens, for that long; each event this many times.
    Live(Duration, usize),
    /// The connection is reset. Without it, the body ends as it should.
    Reset,
}

impl Play {
    const fn new(carried_out: bool, reply: Reply) -> Self {
        Self { delay: Duration::ZERO, carried_out, webhook: None, reply, late: Duration::ZERO }
    }

    pub(crate) const fn as_it_is() -> Self {
        Self::new(true, Reply::Own)
    }

    /// Answered with this, and not carried out.
    pub(crate) const fn instead(answer: Answer) -> Self {
        Self::new(false, Reply::Is(answer))
    }

    /// Carried out; the answer is another.
    pub(crate) const fn carried_out(reply: Reply) -> Self {
        Self::new(true, reply)
    }

    /// Never arrives at the server.
    pub(crate) const fn lost() -> Self {
        Self::new(false, Reply::Never)
    }

    /// Refused before it arrives at the server.
    pub(crate) const fn reset() -> Self {
        Self::new(false, Reply::Reset)
    }

    pub(crate) fn watch(feed: impl Into<Vec<Feed>>) -> Self {
        Self::new(true, Reply::Feed(feed.into()))
    }

    /// An object that admission changes before it is stored.
    pub(crate) fn webhook(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self { webhook: Some(Arc::new(edit)), ..Self::as_it_is() }
    }

    /// An answer that shows something else than is stored.
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
