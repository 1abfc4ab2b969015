//! What a caller can choose, and what happens if it does not.
//!
//! Fields are there to be read; the setters of the same names are how they are set. They are checked once,
//! at the door of the handle that they are given to.

use std::time::Duration;

use crate::{api::timing::Timing, util::clock::Clock};

/// Options of a handle.
///
/// ```
/// let options = leasehold::Options::default().namespace("shop").prefix("nightly-");
/// assert_eq!(options.prefix, "nightly-");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// What every record's name begins with.
    pub prefix: String,
    /// The namespace of the records; in a handle's own options always the one in use.
    pub namespace: Option<String>,
    /// Who holds what this handle holds; in a handle's own options always the one in use.
    pub identity: Option<String>,
    /// Addresses of the backend in place of the configured ones.
    pub nodes: Vec<String>,
    /// Which clock deadlines are measured on.
    pub clock: Clock,
}

impl Options {
    /// What every record's name begins with. Defaults to nothing, so that a Lease has exactly the
    /// lock's name and `kubectl get lease NAME` finds it.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The namespace of the records. Defaults to the backend's own: that of the kubeconfig's context
    /// or of the pod, else `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Who holds what this handle holds. Defaults to the pod's or host's name and a random uuid.
    ///
    /// It must be another one in each life of each process: a fixed identity makes a restarted process
    /// look like the one that died, and it then waits as a stranger would.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Addresses of the backend in place of the configured ones. The Kubernetes backend takes one API
    /// server URL, in place of the kubeconfig's; the embedded backend has no use for any.
    #[must_use]
    pub fn nodes<N: Into<String>>(mut self, nodes: impl IntoIterator<Item = N>) -> Self {
        self.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// Which clock deadlines are measured on. Defaults to [`Clock::Host`], for the embedded backend
    /// always [`Clock::Runtime`].
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
    /// How long to wait for the lock; `None` is for ever, zero is one try.
    pub wait: Option<Duration>,
}

impl LockOptions {
    /// How long others must see no renewal before they may take the lock.
    ///
    /// Defaults to 15 s. Longer survives a longer API outage; shorter fails over sooner.
    /// Rounded up to whole seconds, at most a day.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.timing(Timing::new(ttl))
    }

    /// All durations of the tenure, where [`ttl`](Self::ttl) alone does not fit.
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// How long to wait for the lock. Defaults to for ever; zero tries once.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Takes the lock if it is free now, and does not wait.
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
    pub id: Option<String>,
}

impl LeaderOptions {
    /// The election's namespace. Defaults to the handle's.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long others must see no renewal before they may take over. See [`LockOptions::ttl`].
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.timing(Timing::new(ttl))
    }

    /// All durations of the tenure, where [`ttl`](Self::ttl) alone does not fit.
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The candidate's id. Defaults to the handle's identity.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
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
    pub id: Option<String>,
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
    pub fn id(mut self, election: impl Into<String>) -> Self {
        self.id = Some(election.into());
        self
    }
}
