//! The warning about an error that keeps callers waiting: one line when it lasts, and one when it is over.

use std::{fmt, time::Duration};

use tracing::{Level, enabled, level_filters::LevelFilter, warn};

use crate::{
    api::error::Error,
    protocol::session::SessionId,
    store::{Kind, RecordKey},
    util::clock::Moment,
};

/// An error that is over by then is not worth a warning.
const TOLERANCE: Duration = Duration::from_secs(3);
/// A full quota is an answer of the server, so it is reported at the second attempt. A single try has no second one.
const REPORTED_REFUSAL: u32 = 2;

/// The errors of one contender since its last success, while it has no tenure. A tenure has warnings of its own.
/// Also those of a session, and of each of its locks.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Moment>,
    /// The last error.
    error: Option<Error>,
    /// How often a quota was full.
    refusals: u32,
    /// A request has failed since the last update. An older error may be over already.
    fresh: bool,
    reported: bool,
}

impl Outage {
    /// A request failed.
    pub(crate) fn failed(&mut self, error: &Error) {
        if matches!(error, Error::QuotaExceeded { .. }) {
            self.refusals = self.refusals.saturating_add(1);
        }
        self.error = Some(error.clone());
        self.fresh = true;
    }

    /// Warns if the error lasts, or is over.
    ///
    /// It `blocks` if the work would go on without it. A caller that has stopped waiting (`wanted` is false) does not
    /// need to know how the error ends.
    pub(crate) fn update(
        &mut self,
        now: Moment,
        blocks: bool,
        wanted: bool,
        subject: &Subject<'_>,
    ) {
        if blocks {
            let since = *self.since.get_or_insert(now);
            if std::mem::take(&mut self.fresh) {
                self.report(now - since, subject);
            }
            return;
        }
        if self.reported && wanted {
            warn!("{subject}: the problem is over");
        }
        *self = Self::default();
    }

    fn report(&mut self, lasted: Duration, subject: &Subject<'_>) {
        let Some(error) = self.error.as_ref().filter(|_| !self.reported) else { return };
        let due = match error {
            Error::QuotaExceeded { .. } => self.refusals >= REPORTED_REFUSAL,
            // The contender of the election reports the same error.
            _ => lasted >= TOLERANCE && !subject.is_candidate(),
        };
        if due {
            match subject {
                Subject::Record(_) => warn!("{subject} has to wait: {}", error.with_causes()),
                Subject::Session(_) => {
                    warn!("{subject} cannot be renewed: {}", error.with_causes());
                }
            }
            // A subscriber may hold the warning back because the program reports the error itself. It is then due
            // again at the next attempt. Without a subscriber, the crate `log` may have got it.
            self.reported = enabled!(Level::WARN) || LevelFilter::current() == LevelFilter::OFF;
        }
    }
}

/// What an error keeps waiting. For example ``lock `orders` ``.
pub(crate) enum Subject<'a> {
    Record(&'a RecordKey),
    Session(&'a SessionId),
}

impl Subject<'_> {
    const fn is_candidate(&self) -> bool {
        matches!(self, Self::Record(RecordKey { kind: Kind::Candidate(_), .. }))
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, name): (_, &dyn fmt::Display) = match self {
            Self::Record(RecordKey { kind: Kind::Lock, name, .. }) => ("lock", name),
            Self::Record(RecordKey { kind: Kind::Election, name, .. }) => ("election", name),
            Self::Record(RecordKey { name, .. }) => ("candidate of election", name),
            Self::Session(id) => ("session", id),
        };
        write!(f, "{what} `{name}`")
    }
}
