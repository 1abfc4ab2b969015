//! Where locks and elections are stored, and how messages call it.

use std::{error::Error as StdError, io, sync::Arc};

use leasehold::Error;

/// Where locks and elections are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Kubernetes,
    Etcd,
}

impl Backend {
    /// The name that the library gives it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
        }
    }

    /// That the server gave no answer to a release.
    pub(crate) const fn silence(self) -> &'static str {
        match self {
            Self::Kubernetes => "the API server does not answer",
            Self::Etcd => "etcd does not answer",
        }
    }

    /// What to check if `server` cannot be used.
    pub(crate) fn check(self, server: &str) -> String {
        match self {
            Self::Kubernetes => format!(
                "Check that {server} is the right API server (--context, --kubeconfig), and that `kubectl \
                    get --raw /readyz` succeeds"
            ),
            Self::Etcd => format!(
                "Check that {server} are nodes of the right etcd (--etcd), with https:// if they use TLS, and that \
                    `etcdctl endpoint health` succeeds"
            ),
        }
    }

    /// The error of a request that got no answer in time.
    pub(crate) fn no_answer(self) -> Error {
        self.unavailable(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
    }

    /// The error of a request without a usable answer.
    pub(crate) fn unavailable(self, source: impl StdError + Send + Sync + 'static) -> Error {
        Error::Unavailable { backend: self.name(), source: Arc::new(source), retry_after: None }
    }
}
