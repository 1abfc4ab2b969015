//! What can go wrong, sorted by what the caller can do about it.

use std::{
    error::Error as StdError,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause. Shared, because several callers may wait for the outcome of one request.
pub type Cause = Arc<dyn StdError + Send + Sync + 'static>;

/// Why an operation did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name, a duration or another value from the caller cannot be used. Nothing was sent.
    #[error("{what} {value:?} cannot be used: {bound}")]
    Invalid {
        /// What the value was meant to be, for example `lock name`.
        what: &'static str,
        /// The value as given, shortened.
        value: String,
        /// The bound that it breaks, and by how much.
        bound: String,
    },

    /// A single try found the lock held.
    #[error("lock `{name}` is held by `{holder}`")]
    Held {
        /// The lock's name.
        name: String,
        /// The identity that holds it.
        holder: String,
    },

    /// Another holder held the lock for as long as the caller was ready to wait.
    #[error("lock `{name}` is still held by `{holder}` after {waited:?}")]
    Timeout {
        /// The lock's name.
        name: String,
        /// The identity that held it when the wait ended.
        holder: String,
        /// How long the caller waited.
        waited: Duration,
    },

    /// No process holds the lock, but the last holder has stated a time before which it may not be acquired, and the
    /// caller was not ready to wait until then. See [`LockOptions::at_least`](crate::LockOptions::at_least).
    #[error(
        "lock `{name}` may not be acquired for another {remaining:?}: `{holder}` has set the time between two starts"
    )]
    TooEarly {
        /// The lock's name.
        name: String,
        /// The identity that stated the time.
        holder: String,
        /// When the lock may be acquired, by the wall clock of this host.
        not_before: SystemTime,
        /// How long that was away when the wait ended.
        remaining: Duration,
    },

    /// The tenure has ended: the work that it guards must stop.
    #[error("`{name}` is no longer held: {why}")]
    Lost {
        /// The name of the lock or election.
        name: String,
        /// What ended the tenure.
        why: Loss,
    },

    /// This handle does not hold the lock, so it cannot unlock it.
    #[error(
        "lock `{name}` is not held through this handle: a handle can only unlock what it locked itself"
    )]
    NotHeld {
        /// The lock's name.
        name: String,
    },

    /// This id is already a candidate in the election, through the same handle.
    #[error(
        "`{candidate_id}` is already a candidate in election `{election}` through this handle: resign it first, or choose another id"
    )]
    AlreadyCandidate {
        /// The election's name.
        election: String,
        /// The candidate's id.
        candidate_id: String,
    },

    /// The lock is in use in another mode, or with another number of slots.
    #[error(
        "lock `{name}` is in use as {in_use}, and cannot be locked as {wanted}: use one mode for each lock, everywhere"
    )]
    OtherMode {
        /// The lock's name.
        name: String,
        /// The mode that the caller wants, for example `4 slots`.
        wanted: String,
        /// The mode of its holders and waiters.
        in_use: String,
    },

    /// The option needs a session, and this handle is none.
    #[error(
        "the option `{option}` needs a session: open one with `session()`, and lock through it"
    )]
    NeedsSession {
        /// The option.
        option: &'static str,
    },

    /// The backend does not allow this to the caller.
    #[error("not allowed to {verb} {resource} in namespace `{namespace}`: {reason}")]
    PermissionDenied {
        /// The verb in the backend's terms, for example `update`.
        verb: &'static str,
        /// The resource in the backend's terms, for example `leases.coordination.k8s.io/orders`.
        resource: String,
        /// The namespace.
        namespace: String,
        /// The backend's own words and the next step.
        reason: String,
    },

    /// A quota does not permit another record. Nothing was written. It may succeed later, when another record is
    /// deleted, so a wait for a lock goes on.
    #[error("a quota does not permit to {verb} {resource} in namespace `{namespace}`: {reason}")]
    QuotaExceeded {
        /// The verb in the backend's terms: `create`.
        verb: &'static str,
        /// The resource in the backend's terms, for example `leases.coordination.k8s.io/orders`.
        resource: String,
        /// The namespace.
        namespace: String,
        /// The backend's own words, with the name of the quota, and the next step.
        reason: String,
    },

    /// The namespace does not exist, or is being deleted.
    #[error("namespace `{namespace}` cannot be used: {reason}")]
    Namespace {
        /// The namespace.
        namespace: String,
        /// Missing or terminating, and the next step.
        reason: String,
    },

    /// The backend or a policy rejected the request as wrong, or something else was stored than was sent.
    #[error("the {backend} backend rejected the record of `{name}`: {reason}")]
    Rejected {
        /// The backend's name.
        backend: &'static str,
        /// The record's name.
        name: String,
        /// The backend's own words.
        reason: String,
    },

    /// The record cannot be used. Its version cannot serve as a fencing token: it is not a number, or it went
    /// backwards, as after a restore from a backup. Or it is no record of this crate, or one of a newer version, or its
    /// content was damaged.
    #[error("the record of `{name}` cannot be used: {reason}")]
    InvalidRecord {
        /// The record's name.
        name: String,
        /// What was seen, and the next step.
        reason: String,
    },

    /// The backend did not answer, or its answer was unusable. The outcome of a write is unknown.
    #[error("the {backend} backend is unavailable")]
    Unavailable {
        /// The backend's name.
        backend: &'static str,
        /// What happened.
        source: Cause,
        /// How long the backend asked clients to wait.
        retry_after: Option<Duration>,
    },

    /// The backend could not be set up from its configuration.
    #[error("the {backend} backend cannot be configured: {reason}")]
    Config {
        /// The backend's name.
        backend: &'static str,
        /// What is missing, and the next step.
        reason: String,
        /// What happened.
        source: Option<Cause>,
    },

    /// The handle, or the async runtime that it ran on, has shut down.
    #[error("the handle that drove `{name}` has shut down")]
    Closed {
        /// The name of the lock or election.
        name: String,
    },
}

impl Error {
    /// Whether the same call may succeed later without a change by a person.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Held { .. }
            | Self::Timeout { .. }
            | Self::TooEarly { .. }
            | Self::Lost { .. }
            | Self::QuotaExceeded { .. }
            | Self::Unavailable { .. } => true,
            Self::Invalid { .. }
            | Self::NotHeld { .. }
            | Self::AlreadyCandidate { .. }
            | Self::OtherMode { .. }
            | Self::NeedsSession { .. }
            | Self::PermissionDenied { .. }
            | Self::Namespace { .. }
            | Self::Rejected { .. }
            | Self::InvalidRecord { .. }
            | Self::Config { .. }
            | Self::Closed { .. } => false,
        }
    }

    /// The error and its causes in one line, for a log: a cause is left out if the text before it contains it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use leasehold::Error;
    /// # fn log(error: &Error) {
    /// eprintln!("the lock is not held: {}", error.with_causes());
    /// # }
    /// ```
    #[must_use]
    pub const fn with_causes(&self) -> WithCauses<'_> {
        WithCauses(self)
    }

    /// A value that cannot be used, cut short so that an error stays one readable line.
    pub(crate) fn invalid(what: &'static str, value: &str, bound: impl Into<String>) -> Self {
        const SHOWN: usize = 60;
        let mut shown: String = value.chars().take(SHOWN).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self::Invalid { what, value: shown, bound: bound.into() }
    }

    pub(crate) fn unavailable(
        backend: &'static str,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self::Unavailable { backend, source: Arc::new(source), retry_after: None }
    }
}

/// An error with its causes, each after a colon: see [`Error::with_causes`].
#[derive(Clone, Copy, Debug)]
pub struct WithCauses<'a>(&'a Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
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

/// Whether two errors have the same text.
pub(crate) fn same(a: Option<&Error>, b: Option<&Error>) -> bool {
    a.map(ToString::to_string) == b.map(ToString::to_string)
}

/// What ended a tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The holder released it.
    #[error("it was released")]
    Released,
    /// No renewal was confirmed in time.
    #[error("no renewal was confirmed within the hold")]
    Expired,
    /// The record was deleted, or deleted and created again.
    #[error("its record was deleted")]
    Deleted,
    /// The record names another holder, or none: an operator changed it, or another elector that ignores tenures.
    ///
    /// On Kubernetes, a [`Session`](crate::Session) usually reports this also when the record of its lock was deleted,
    /// because the event of its watch is the same.
    #[error("the record no longer names this holder")]
    Taken,
    /// The record was changed by a write that is not the holder's: an operator's, or that of a second process with
    /// the same identity.
    #[error("its record was changed by another client")]
    Altered,
    /// The session that held it is over: its record was ended or deleted, or no heartbeat was confirmed in time.
    #[error("its session is over")]
    Session,
    /// The task or the runtime that renewed it has ended.
    #[error("the task that renewed it has ended")]
    Abandoned,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_short() {
        let error = Error::invalid("lock name", &"x".repeat(5000), "at most 253 bytes");
        assert!(error.to_string().len() < 150, "{error}");
    }

    #[test]
    fn the_causes_follow_the_error_unless_it_says_the_same() {
        #[derive(Debug, thiserror::Error)]
        #[error("no answer{0}")]
        struct Failed(&'static str, #[source] Option<Box<Self>>);
        let shown = |source| Error::unavailable("memory", source).with_causes().to_string();
        let cause = |text| Some(Box::new(Failed(text, None)));

        let text = "the memory backend is unavailable: no answer: no answer in 2s";
        assert_eq!(shown(Failed("", cause(" in 2s"))), text);
        let text = "the memory backend is unavailable: no answer in 2s";
        assert_eq!(shown(Failed(" in 2s", cause(""))), text);
    }
}
