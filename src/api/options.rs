//! What a caller can choose, and the defaults.
//!
//! Every option is a public field, set by the method of the same name. The handle checks options once, when it gets them.

use std::time::Duration;

use super::timing::Timing;
use crate::util::clock::Clock;

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
}

impl Options {
    /// The prefix of every record's name. Defaults to nothing, so that a Lease has exactly the lock's name and
    /// `kubectl get lease NAME` finds it.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The namespace of the records. Defaults to the namespace of the kubeconfig's context or of the pod, else
    /// `default`.
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
}

impl LockOptions {
    /// How long other processes must see no renewal before they may take the lock. Leaves the other durations as they are.
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

    /// How long to wait for the lock. By default there is no limit; zero is a single try.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Acquires the lock if it is free now, and does not wait.
    #[must_use]
    pub const fn try_once(self) -> Self {
        self.wait(Duration::ZERO)
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
