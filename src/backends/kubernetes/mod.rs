//! Locks and elections on `coordination.k8s.io/v1` Lease objects.

mod codec;
mod connect;
mod error;
mod http;
mod inspect;
mod permissions;
mod record_watch;
mod reflector;
mod shared_watch;
mod store;

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

#[cfg(fuzzing)]
pub use self::codec::check::check_lease;
use self::{codec::Pod, http::Api, store::Leases};
pub use self::{
    inspect::{LeaseRecord, RecordOptions},
    record_watch::RecordWatch,
};
use crate::{
    ElectWatcher, Error, Guard, Leader, LeaderOptions, ListMembersOptions, LockOptions, Member,
    Options, Result, WatchElectOptions,
    api::name::{LeaseName, Name},
    runtime::{handle::Handle, implement::implement_sync},
    store::Store,
};

/// The backend's name.
const BACKEND: &str = "kubernetes";

/// Locks and elections on Lease objects of a Kubernetes cluster.
///
/// One lock or election is one Lease. Where its name is a DNS-1123 name and there is no prefix, the Lease
/// has exactly that name, so that `kubectl`, client-go and controller-runtime can share it. Other names
/// become a slug and a hash, and stand in the annotation `leasehold.dev/name`. A Lease stays when it is
/// released, with an empty `holderIdentity`.
///
/// # Permissions
///
/// | verb on `leases` | for |
/// |---|---|
/// | `get`, `create`, `update` | everything |
/// | `list`, `watch` | hearing of a release at once instead of polling; listing members and events |
/// | `delete` | removing one's candidate record on resigning |
///
/// `create` cannot be restricted to names; `get`, `update`, and `list` and `watch` of a single record can
/// (they are asked for with `metadata.name=NAME`). Candidate records have names of their own, so a
/// candidate that is to be listed needs the verbs for all names of the namespace; without, it stands unlisted.
///
/// # Examples
///
/// ```no_run
/// use leasehold::{Kubernetes, LockOptions, Options, Sync as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> leasehold::Result<()> {
/// let sync = Kubernetes::connect(Options::default().namespace("shop")).await?;
/// let guard = sync.lock("orders", LockOptions::default()).await?;
/// guard.check()?;
/// guard.release().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Kubernetes {
    handle: Arc<Handle>,
    api: Api,
}

impl Kubernetes {
    /// A handle over a client of the caller's.
    ///
    /// Every request has a timeout of its own, so the client needs none. Build it with
    /// `default_retry = false` in its `Config`: retries below this crate do no harm to exclusion, but cost time that a holder may not have,
    /// and hide that a write may have been stored: a tenure may then end as altered by nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if an option cannot be used; `nodes` among them, since the client has its server already.
    pub fn new(client: kube::Client, options: Options) -> Result<Self> {
        if let Some(node) = options.nodes.first() {
            return Err(Error::invalid(
                "node",
                node,
                "the client that was given has its server already: use Kubernetes::connect",
            ));
        }
        let namespace = client.default_namespace().to_owned();
        let api = Api(client.clone());
        let store = Arc::new(Leases::new(client, pod(&namespace)));
        Ok(Self { handle: Handle::new(store as Arc<dyn Store>, options, &namespace)?, api })
    }

    /// A handle from the kubeconfig (`KUBECONFIG`, else `~/.kube/config`), or from the pod it runs in.
    ///
    /// Reaches no server yet: [`init`](crate::Sync::init) does.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] says what is missing; [`Error::Invalid`] if an option cannot be used.
    pub async fn connect(options: Options) -> Result<Self> {
        Self::from_config(connect::infer().await?, options)
    }

    /// A handle from a configuration of the caller's, with a connection made for this: no retries below
    /// this crate, and no delay of small packets, which costs 45 ms with the first request of a connection.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if no client can be built of it; [`Error::Invalid`] if an option cannot be used.
    pub fn from_config(mut config: kube::Config, mut options: Options) -> Result<Self> {
        connect::point_at(&mut config, &std::mem::take(&mut options.nodes))?;
        Self::new(connect::client(config)?, options)
    }

    /// The name of the Lease that the lock or election `name` has: for permissions, and for whoever refers to it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it cannot be the name of a lock or election.
    pub fn lease_name(&self, name: &str) -> Result<String> {
        let name = Name::parse("lock or election name", name)?;
        Ok(LeaseName::of(&self.handle.options().prefix, &name).to_string())
    }
}

implement_sync!(Kubernetes);

/// The pod this runs in, if it was told so through the downward API.
fn pod(own_namespace: &str) -> Option<Pod> {
    let said = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let namespace = said("POD_NAMESPACE").unwrap_or_else(|| own_namespace.to_owned());
    Some(Pod { namespace, name: said("POD_NAME")?, uid: said("POD_UID")? })
}
