//! What a caller can choose, and the defaults.
//!
//! Every option is a public field, set by the method of the same name. The handle checks options once, when it gets them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    error::{Error, Result},
    session::LockMode,
    timing::Timing,
};
use crate::util::clock::Clock;

/// The longest payload, in bytes, as JSON writes it. With it 129 candidates fit into the annotations of one Lease.
const MAX_PAYLOAD: usize = 1024;

/// Options of a handle.
///
/// ```
/// let options = leasehold::Options::default().namespace("shop").prefix("nightly-");
/// assert_eq!(options.prefix, "nightly-");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The prefix of every record's name.
    pub prefix: String,
    /// The namespace of the records. In the options of a handle it is always the one in use.
    pub namespace: Option<String>,
    /// The holder that this handle's records name. In the options of a handle it is always the one in use.
    pub identity: Option<String>,
    /// Addresses of the backend that replace the configured ones.
    pub nodes: Vec<String>,
    /// The clock that deadlines are measured on.
    pub clock: Clock,
    /// Labels of the Leases that this handle creates; other backends have none.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Leases that this handle creates; other backends have none.
    pub annotations: BTreeMap<String, String>,
}

impl Options {
    /// The prefix of every record's name, on etcd of every key. Defaults to nothing, so that a Lease has exactly the
    /// lock's name and `kubectl get lease NAME` finds it; on etcd to `/leasehold`.
    ///
    /// On Kubernetes it is at most 63 of a-z, 0-9, `-` and `.`, elsewhere at most 253 bytes without control characters.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The namespace of the records. Defaults to the namespace of the kubeconfig's context or of the pod, else
    /// `default`.
    ///
    /// On Kubernetes it is a DNS label, and must exist. Elsewhere it is any text of at most 253 bytes without slashes and
    /// control characters that does not begin with `~`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The holder that this handle's records name. Defaults to the name of the pod or host and a random uuid.
    ///
    /// Choose a new one whenever a process starts. A restarted process with a fixed identity gains nothing: it does not
    /// trust a record of its own name and waits for its time to live, as every other process does.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Addresses of the backend that replace the configured ones. The Kubernetes backend takes one API server URL. The
    /// embedded backend ignores them.
    #[must_use]
    pub fn nodes<N: Into<String>>(mut self, nodes: impl IntoIterator<Item = N>) -> Self {
        self.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// The clock that deadlines are measured on. Defaults to [`Clock::Host`]. The embedded backend always uses
    /// [`Clock::Runtime`].
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Labels of the Leases that this handle creates, for policies that require some: those of locks, elections and
    /// candidates. Defaults to none. Labels that begin with `leasehold.dev/` are refused, because this crate writes them.
    ///
    /// A Lease gets them when it is created. A Lease that exists keeps its own, because another program may have changed
    /// them. The embedded backend checks labels and annotations and ignores them.
    ///
    /// ```
    /// let labels = [("team", "shop"), ("app.kubernetes.io/name", "orders")];
    /// let options = leasehold::Options::default().labels(labels);
    /// assert_eq!(options.labels["team"], "shop");
    /// ```
    #[must_use]
    pub fn labels<K: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.labels = collect(labels);
        self
    }

    /// Annotations of the Leases that this handle creates. They follow the rules of [`labels`](Self::labels), but their
    /// values may be any text, up to 252 KiB in all.
    #[must_use]
    pub fn annotations<K: Into<String>, V: Into<String>>(
        mut self,
        annotations: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.annotations = collect(annotations);
        self
    }
}

fn collect<K: Into<String>, V: Into<String>>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// Options of [`lock`](crate::Sync::lock).
///
/// ```
/// use std::time::Duration;
/// use leasehold::LockOptions;
///
/// let patient = LockOptions::default().ttl(Duration::from_secs(30));
/// let brisk = LockOptions::default().wait(Duration::from_secs(2));
/// let once = LockOptions::default().try_once();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOptions {
    /// The durations of the tenure.
    pub timing: Timing,
    /// How long to wait for the lock. `None` waits without a limit; zero is a single try.
    pub wait: Option<Duration>,
    /// For how long after the start of this tenure no other one may begin. `None`: the next one may begin at once.
    pub at_least: Option<Duration>,
    /// How the lock is shared.
    pub mode: LockMode,
}

impl LockOptions {
    /// How long other processes must see no renewal before they may take the lock. The other durations of the
    /// [`Timing`] follow from it, unless they were set.
    ///
    /// Defaults to 15 s. Longer survives a longer API outage; shorter fails over sooner.
    /// Rounded up to whole seconds, at most a day.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.timing = self.timing.ttl(ttl);
        self
    }

    /// All durations of the tenure.
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Shares the lock with other shared holders. Only a [`Session`](crate::Session) can do that.
    ///
    /// A shared claim waits behind an exclusive one that came before it. Compare the token of a shared holder with the
    /// largest token of an exclusive holder that the resource has seen, and do not let it raise that.
    #[must_use]
    pub const fn shared(mut self) -> Self {
        self.mode = LockMode::Shared;
        self
    }

    /// Takes one of so many slots: a semaphore. Only a [`Session`](crate::Session) can do that. From 1 to 256, and the same
    /// number for all users of the lock.
    ///
    /// [`Tenure::slot`](crate::Tenure::slot) is the number of the slot. Each slot has a fencing sequence of its own.
    #[must_use]
    pub const fn slots(mut self, slots: u16) -> Self {
        self.mode = LockMode::Slots(slots);
        self
    }

    /// How long to wait for the lock. By default there is no limit; zero is a single try.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Acquires the lock if it is free now, and does not wait for another holder. If the store does not answer at once,
    /// the call waits up to 10 s for an answer.
    ///
    /// **A crashed holder counts as a holder** until this handle has seen its record unchanged for a whole time to live.
    /// So a program that tries once and ends never gets the lock of a process that crashed. Let it [`wait`](Self::wait())
    /// for two times the time to live.
    #[must_use]
    pub const fn try_once(self) -> Self {
        self.wait(Duration::ZERO)
    }

    /// For how long after the start of this tenure no other one may begin, also after this one has ended. More than zero,
    /// and at most 366 days. By default another one may begin at once.
    ///
    /// It is for jobs that several hosts start at the same time: a host that is a second late must not run a short job
    /// again. Choose a time that is longer than the clocks of the hosts differ, and shorter than the time between two
    /// starts. [`Error::TooEarly`](crate::Error::TooEarly) ends a single try, and a wait that is shorter.
    ///
    /// # Guarantees
    ///
    /// The record states the time before which no other tenure may begin, from the acquisition on. So it also counts if
    /// the holder crashes: others then wait for this time or for the ttl, whichever is longer. The holder counts from
    /// the moment at which it has acquired the lock. It applies to all handles, this one included, whatever their own
    /// options are. If a caller leaves before it has received its guard, the time is taken back with the lock.
    ///
    /// **Wall clocks.** Others compare the time with the wall clocks of their own hosts, so a host whose clock is ahead
    /// starts earlier by that much. No two guards are held at the same time, whatever the clocks show. No caller
    /// waits longer than this length, counted from when its handle first saw the time, also if a clock is wrong. A time
    /// that is more than two lengths away is ignored, because it cannot be right.
    ///
    /// **Sessions.** A [`Session`](crate::Session) obeys the time of a handle, and a handle that of a session. A
    /// session refuses this option for a lock that is shared or has slots, because their holders begin at any time.
    ///
    /// **Other programs.** client-go and older versions of this crate ignore the time, and acquire the lock at once. An
    /// operator removes the time with `leasehold release NAME --force`, or by deleting the record.
    #[must_use]
    pub const fn at_least(mut self, at_least: Duration) -> Self {
        self.at_least = Some(at_least);
        self
    }
}

/// Options of [`leader`](crate::Sync::leader).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderOptions {
    /// The election's namespace; `None` is the handle's.
    pub namespace: Option<String>,
    /// The durations of the tenure.
    pub timing: Timing,
    /// The candidate's id; `None` is the handle's identity.
    pub candidate_id: Option<String>,
    /// A text that others see with this candidate; `None` is none.
    pub payload: Option<String>,
}

impl LeaderOptions {
    /// The election's namespace. Defaults to the handle's.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long other processes must see no renewal before they may take over. See [`LockOptions::ttl`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.timing = self.timing.ttl(ttl);
        self
    }

    /// All durations of the tenure.
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The candidate's id. Defaults to the handle's identity.
    #[must_use]
    pub fn candidate_id(mut self, candidate_id: impl Into<String>) -> Self {
        self.candidate_id = Some(candidate_id.into());
        self
    }

    /// A text that others see with this candidate, for example its address or its version: see
    /// [`Member::payload`](crate::Member::payload). Defaults to none.
    ///
    /// At most 1,024 bytes, where quotation marks and backslashes count twice, and no control characters. It is public to
    /// all that may read the records of the namespace. Keep it short, because each write to the election carries it.
    ///
    /// ```
    /// let options = leasehold::LeaderOptions::default().payload("10.0.0.7:8080");
    /// assert_eq!(options.payload.as_deref(), Some("10.0.0.7:8080"));
    /// ```
    #[must_use]
    pub fn payload(mut self, payload: impl Into<String>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// The payload, if there is one that can be stored.
    pub(crate) fn check_payload(&self) -> Result<Option<Arc<str>>> {
        let Some(payload) = self.payload.as_deref().filter(|payload| !payload.is_empty()) else {
            return Ok(None);
        };
        let escaped = payload.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        let size = payload.len() + escaped;
        if size > MAX_PAYLOAD {
            let bound = format!("it takes {size} bytes, at most {MAX_PAYLOAD} fit");
            return Err(Error::invalid("payload", &shortened(payload), bound));
        }
        if payload.chars().any(char::is_control) {
            return Err(Error::invalid("payload", payload, "it must not have control characters"));
        }
        Ok(Some(payload.into()))
    }
}

/// The beginning of a text that is too long for a message.
fn shortened(text: &str) -> String {
    text.chars().take(32).chain("…".chars()).collect()
}

/// Options of [`list_members`](crate::Sync::list_members).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListMembersOptions {
    /// The namespace to list; `None` is the handle's.
    pub namespace: Option<String>,
    /// The election to list; `None` is all.
    pub election: Option<String>,
}

impl ListMembersOptions {
    /// The namespace to list. Defaults to the handle's.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only the candidates of one election. Defaults to those of all.
    #[must_use]
    pub fn election(mut self, election: impl Into<String>) -> Self {
        self.election = Some(election.into());
        self
    }
}

/// Options of [`watch_elect`](crate::Sync::watch_elect).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchElectOptions {
    /// The namespace to watch; `None` is the handle's.
    pub namespace: Option<String>,
    /// The election to watch; `None` is all.
    pub election: Option<String>,
}

impl WatchElectOptions {
    /// The namespace to watch. Defaults to the handle's.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The election to watch. Defaults to all of the namespace.
    #[must_use]
    pub fn election(mut self, election: impl Into<String>) -> Self {
        self.election = Some(election.into());
        self
    }
}
