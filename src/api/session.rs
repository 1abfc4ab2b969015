//! Options of a session, and what it reports.

use std::time::Duration;

use super::{
    error::{Error, Result},
    timing::Timing,
    token::Token,
};

/// The largest number of slots: the record has a label for each holder.
const MAX_SLOTS: u16 = 256;

/// How a lock is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockMode {
    /// With no other holder.
    #[default]
    Exclusive,
    /// With other shared holders: see [`LockOptions::shared`](crate::LockOptions::shared).
    Shared,
    /// One of so many slots: see [`LockOptions::slots`](crate::LockOptions::slots).
    Slots(u16),
}

impl LockMode {
    /// Refuses a mode that needs a session.
    pub(crate) const fn without_session(self) -> Result<()> {
        match self {
            Self::Exclusive => Ok(()),
            Self::Shared => Err(Error::NeedsSession { option: "shared" }),
            Self::Slots(_) => Err(Error::NeedsSession { option: "slots" }),
        }
    }

    pub(crate) fn check(self) -> Result<Self> {
        match self {
            Self::Slots(slots) if slots == 0 || slots > MAX_SLOTS => Err(Error::invalid(
                "number of slots",
                &slots.to_string(),
                format!("it must be 1 to {MAX_SLOTS}"),
            )),
            _ => Ok(self),
        }
    }
}

/// Holders and waiters of a lock of sessions, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockQueue {
    /// The holders: at most one if the lock is exclusive.
    pub holders: Vec<QueueEntry>,
    /// The waiters: the first one is next.
    pub waiters: Vec<QueueEntry>,
    /// A holder without a session: another elector, or a handle without one.
    pub other_holder: Option<String>,
}

/// One call of `lock` in a [`LockQueue`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueEntry {
    /// The session.
    pub session: String,
    /// How the lock is shared.
    pub mode: LockMode,
    /// The slot of a holder, if the lock has slots.
    pub slot: Option<u16>,
    /// The fencing token of a holder, once its session has stated it: by default 5 to 10 s after the grant. A session that
    /// holds more than 64 locks states none.
    pub token: Option<Token>,
}

/// A session, as its record describes it.
///
/// It is for people and dashboards. This crate makes no decision from it.
#[cfg(any(feature = "etcd", feature = "kubernetes"))]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The name of the session, which is the holder of its locks, and the name of its own record.
    pub id: String,
    /// The namespace of the session.
    pub namespace: String,
    /// The identity of its process.
    pub identity: String,
    /// How long other processes must see no heartbeat before they may end it.
    pub ttl: Duration,
    /// The time since the last heartbeat, from the wall clocks of its process and of this one. `None` if the record has
    /// no such time, or was created by another process because that of the session was missing.
    pub renewed_ago: Option<Duration>,
    /// It was ended, and cannot be renewed any more.
    pub is_over: bool,
}

#[cfg(any(feature = "etcd", feature = "kubernetes"))]
impl SessionInfo {
    /// Whether the session was renewed within its time to live, by the wall clocks of its process and of this one.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.is_over && self.renewed_ago.is_some_and(|ago| ago <= self.ttl)
    }
}

/// Options of a session.
///
/// ```
/// use std::time::Duration;
/// let options = leasehold::SessionOptions::default().ttl(Duration::from_secs(30));
/// assert_eq!(options.ttl, Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionOptions {
    /// How long other processes must see no heartbeat before they may end the session.
    pub ttl: Duration,
    /// The namespace of the session's own record. `None` is the namespace of the handle, which is that of the locks.
    pub namespace: Option<String>,
    /// How long to try to open the session. `None` is without a limit.
    pub wait: Option<Duration>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(15), namespace: None, wait: None }
    }
}

impl SessionOptions {
    /// How long other processes must see no heartbeat before they may end the session, and take its locks.
    ///
    /// Defaults to 15 s. Longer survives a longer API outage; shorter fails over sooner. Rounded up to whole seconds, at
    /// most a day. The heartbeat comes every third of it, and one heartbeat is trusted for nine tenths of it.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The namespace of the session's own record: of its heartbeats, but not of its locks.
    ///
    /// Defaults to the namespace of the handle. With more than about 500 processes in one namespace, use another
    /// namespace for sessions alone: each session watches the records in the namespace of its locks, and then no
    /// heartbeat is seen by these watches.
    ///
    /// **All users of a lock must use the same namespace.** A process cannot read a session that is in another
    /// namespace. It never takes a lock from such a session, also not after a crash: it waits until the lock is
    /// released, or until a process with the right namespace takes it over.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long to try to open the session, if the backend is not available or has no room for it. Then the last failure
    /// is returned.
    ///
    /// Defaults to no limit. A refusal, such as a missing permission, is returned at once.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// The time to live in whole seconds.
    pub(crate) fn check(&self) -> Result<Duration> {
        Ok(Timing::new(self.ttl).check()?.ttl())
    }
}
