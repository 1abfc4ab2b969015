//! The Kubernetes backend: locks and elections on `coordination.k8s.io/v1` Lease objects.
//!
//! | module | contents |
//! |---|---|
//! | `store` | the `Store`: one request for each call |
//! | `http`, `error` | sends requests, lists and watches; turns a failed response into an error |
//! | `codec` | Lease objects as JSON, and records |
//! | `shared_watch`, `reflector` | one watch for all subscribers to a scope; the task that runs the watch |
//! | `permissions`, `connect` | the check of `Sync::init`; the client |
//! | `inspect`, `record_watch` | tools for operators |

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
use self::{codec::Pod, http::Http, store::Leases};
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

/// The name of this backend.
const BACKEND: &str = "kubernetes";

/// Locks and elections on Lease objects of a Kubernetes cluster.
///
/// Each lock or election is one Lease. If its name is a DNS-1123 name and the handle has no prefix, the Lease has
/// exactly that name, so that client-go and controller-runtime can share the lock, and `kubectl get lease NAME` finds
/// it. Any other name becomes a slug and a hash, and is written in the annotation `leasehold.dev/name`. A released
/// Lease remains, with an empty `holderIdentity`.
///
/// # Permissions
///
/// | verb on `leases` | required for |
/// |---|---|
/// | `get`, `create`, `update` | all locks and elections |
/// | `list`, `watch` | noticing a release at once instead of by polling; members and events of elections |
/// | `delete` | removing the candidate's record when it resigns |
///
/// A Role can restrict `get` and `update` to names, and also `list` and `watch` of a single record, because this crate
/// requests them with `metadata.name=NAME`. It cannot restrict `create` to names. The record of a candidate has a name
/// of its own, so a listed candidate needs the verbs for all names of the namespace. Without them it is a candidate all
/// the same, but is not listed.
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
    http: Http,
}

impl Kubernetes {
    /// A handle that uses a client of the caller.
    ///
    /// The client needs no timeout, because every request has one. Build the client with `default_retry = false` in its
    /// `Config`. Retries in the client do not break mutual exclusion, but they take time that a holder may not have.
    /// They also hide that a write was stored: a tenure can then end with [`Loss::Altered`](crate::Loss::Altered)
    /// although no other process changed the record.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if an option cannot be used. `nodes` cannot be used here, because the client has a server
    /// already.
    pub fn new(client: kube::Client, options: Options) -> Result<Self> {
        if let Some(node) = options.nodes.first() {
            return Err(Error::invalid(
                "node",
                node,
                "the client already has a server. Use Kubernetes::connect, or leave `nodes` empty",
            ));
        }
        let namespace = client.default_namespace().to_owned();
        let http = Http(client.clone());
        let store = Arc::new(Leases::new(client, pod(&namespace)));
        Ok(Self { handle: Handle::new(store as Arc<dyn Store>, options, &namespace)?, http })
    }

    /// A handle that is configured by the kubeconfig (`KUBECONFIG`, or `~/.kube/config`), or else by the pod it runs
    /// in.
    ///
    /// This sends no request. [`init`](crate::Sync::init) sends the first one.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the configuration is missing or wrong, with the next step. [`Error::Invalid`] if an option
    /// cannot be used.
    pub async fn connect(options: Options) -> Result<Self> {
        Self::from_config(connect::infer().await?, options)
    }

    /// A handle that is configured by `config`, with a client that suits short deadlines: it does not retry, and it
    /// sets `TCP_NODELAY`, without which the first request of a connection takes about 45 ms longer.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if no client can be built from it. [`Error::Invalid`] if an option cannot be used.
    pub fn from_config(mut config: kube::Config, mut options: Options) -> Result<Self> {
        connect::set_server(&mut config, &std::mem::take(&mut options.nodes))?;
        Self::new(connect::client(config)?, options)
    }

    /// The name of the Lease of the lock or election `name`. Use it in the rules of a Role.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `name` cannot be the name of a lock or election.
    pub fn lease_name(&self, name: &str) -> Result<String> {
        let name = Name::parse("lock or election name", name)?;
        Ok(LeaseName::of(&self.handle.options().prefix, &name).to_string())
    }
}

implement_sync!(Kubernetes);

/// The pod that this process runs in, if the downward API provides its name and uid.
fn pod(own_namespace: &str) -> Option<Pod> {
    let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let namespace = var("POD_NAMESPACE").unwrap_or_else(|| own_namespace.to_owned());
    Some(Pod { namespace, name: var("POD_NAME")?, uid: var("POD_UID")? })
}
