//! The warning about an error that keeps callers waiting: one line when it lasts, and one when it is over.

use std::{error::Error as _, fmt, time::Duration};

use tracing::{Level, enabled, level_filters::LevelFilter, warn};

use crate::{
    api::error::Error,
    protocol::machine::Status,
    store::{Kind, RecordKey},
    util::clock::Moment,
};

/// An error that is over by then is not worth a warning.
const TOLERANCE: Duration = Duration::from_secs(3);
/// A full quota is an answer of the server, so it is reported at the second attempt. A single try has no second one.
const REPORTED_REFUSAL: u32 = 2;

/// The errors of one contender since its last success, while it has no tenure. A tenure has warnings of its own.
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
    pub(crate) fn update(&mut self, now: Moment, status: &Status, key: &RecordKey) {
        if Self::blocks(status) {
            let since = *self.since.get_or_insert(now);
            if std::mem::take(&mut self.fresh) {
                self.report(now - since, key);
            }
            return;
        }
        // A caller that has stopped waiting does not need to know how the error ends.
        if self.reported && status.wanted {
            warn!("{}: the problem is over", Subject(key));
        }
        *self = Self::default();
    }

    /// Without an error the work would go on. A write that failed does not count while another process comes first.
    const fn blocks(status: &Status) -> bool {
        status.contending() && (status.read_failing || status.failing && !status.barred)
    }

    fn report(&mut self, lasted: Duration, key: &RecordKey) {
        let Some(error) = self.error.as_ref().filter(|_| !self.reported) else { return };
        let due = match error {
            Error::QuotaExceeded { .. } => self.refusals >= REPORTED_REFUSAL,
            // The contender of the election reports the same error.
            _ => lasted >= TOLERANCE && !matches!(key.kind, Kind::Candidate(_)),
        };
        if due {
            warn!("{} has to wait: {error}{}", Subject(key), Causes(error));
            // A subscriber may hold the warning back because the program reports the error itself. It is then due
            // again at the next attempt. Without a subscriber, the crate `log` may have got it.
            self.reported = enabled!(Level::WARN) || LevelFilter::current() == LevelFilter::OFF;
        }
    }
}

/// For example ``lock `orders` ``.
struct Subject<'a>(&'a RecordKey);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.kind {
            Kind::Lock => "lock",
            Kind::Election => "election",
            Kind::Candidate(_) => "candidate of election",
        };
        write!(f, "{what} `{}`", self.0.name)
    }
}

/// The causes of an error, each after a colon, unless the text before contains it.
struct Causes<'a>(&'a Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !last.contains(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
            cause = error.source();
        }
        Ok(())
    }
}
