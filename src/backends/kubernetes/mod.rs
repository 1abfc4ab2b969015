//! The Kubernetes backend: locks and elections on `coordination.k8s.io/v1` Lease objects.
//!
//! | module | contents |
//! |---|---|
//! | `store` | the `Store`: one request for each call |
//! | `sessions` | the `SessionStore`: sessions and locks with a queue |
//! | `http`, `page` | sends requests, lists and watches; one page of a list |
//! | `error`, `refusal` | turn a failed response into an error; who refused a request |
//! | `codec`, `names` | Lease objects as JSON, and records; the names of Leases |
//! | `reflector` | the task of a watch, which `runtime::watches` shares |
//! | `permissions` | the check of `Sync::init` |
//! | `configuration`, `proxy`, `url` | which cluster is meant, and the proxy to it; URLs with a password |
//! | `connect`, `pools` | the client; which of its connections carries a request |
//! | `route`, `connector`, `tls` | how it opens connections |
//! | `credentials` | tokens and certificates that change while the client lives |
//! | `inspect` | the `InspectStore`: requests of the tools for operators |

mod codec;
mod configuration;
mod connect;
mod connector;
mod credentials;
mod error;
mod http;
mod inspect;
mod names;
mod page;
mod permissions;
mod pools;
mod proxy;
mod reflector;
mod refusal;
mod route;
mod sessions;
mod store;
mod tls;
mod url;

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

#[cfg(fuzzing)]
pub use self::codec::check::check_lease;
pub use self::configuration::ClusterOptions;
use self::{
    codec::{Extras, Pod},
    credentials::Credentials,
    error::with_verbs_of_session,
    http::Http,
    names::LeaseNames,
    store::Leases,
};
use crate::{
    ElectWatcher, Error, Guard, Leader, LeaderOptions, ListMembersOptions, LockOptions, Member,
    Options, Result, Session, SessionOptions, WatchElectOptions,
    runtime::{
        handle::{Handle, require_runtime},
        implement::implement_sync,
        inspect::{Inspector, implement_inspect},
    },
    store::{Store, sessions::SessionStore},
};

/// The name of this backend.
const BACKEND: &str = "kubernetes";
/// What may have changed a write on its way to the store.
const SUSPECT: &str = "is an admission webhook changing Leases?";

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
/// | `list`, `watch` | noticing a release at once instead of by polling; members and events of elections; records ([`RecordOptions::lease`](crate::RecordOptions::lease) needs `get` alone) |
/// | `delete` | removing the candidate's record when it resigns; removing the records of candidates that died, with `list`; [`prune`](crate::Inspect::prune) |
///
/// A Role can restrict `get` and `update` to names, and also `list` and `watch` of a single record, because this crate
/// requests them with `metadata.name=NAME`. A handle does so for four names of a namespace at a time. If it waits for
/// more, it lists and watches the namespace, or polls where it may not. A Role cannot restrict `create` to names. The record of a candidate has a name
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
    inspector: Inspector,
    http: Http,
    /// `None` if the client has credentials that do not change, or looks after them itself.
    credentials: Option<Credentials>,
}

impl Kubernetes {
    /// A handle that uses a client of the caller.
    ///
    /// The client needs no timeout, because every request has one. Build the client with `default_retry = false` in its
    /// `Config`. Retries in the client do not break mutual exclusion, but they take time that a holder may not have.
    /// They also hide that a write was stored: a tenure can then end with [`Loss::Altered`](crate::Loss::Altered)
    /// although no other process changed the record.
    ///
    /// The client also looks after its credentials. kube's own client runs a credential plugin inside a request, so a
    /// plugin that takes seconds delays renewals, and one that hangs costs every lock. It passes its standard input to
    /// the plugin. It does not run the plugin again when the server refuses a token, or when a client certificate ends:
    /// every lock is then lost. [`from_config`](Self::from_config) does not have these limits, and
    /// [`client`](Self::client) returns the client of such a handle for other requests.
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
        let names = LeaseNames::new(&options.prefix)?;
        let namespace = client.default_namespace().to_owned();
        let http = Http(client.clone());
        let extras = Extras {
            pod: pod(&namespace),
            labels: options.labels.clone(),
            annotations: options.annotations.clone(),
        };
        let store = Arc::new(Leases::new(client, extras, names));
        let handle = Handle::new(Arc::clone(&store) as Arc<dyn Store>, options, &namespace)?;
        let inspector = Inspector { handle: Arc::clone(&handle), store };
        Ok(Self { handle, inspector, http, credentials: None })
    }

    /// Opens a session: one Lease with a heartbeat for any number of locks, first come, first served. It works also after
    /// this handle is dropped.
    ///
    /// The session has a Lease of its own, whose name is random. So a Role must grant `create`, `get`, `list`, `watch`,
    /// `update` and `delete` on all `leases` of the namespace. With `patch`, locks that many processes want cost fewer
    /// requests.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if an option cannot be used, [`Error::PermissionDenied`] and other refusals of the server. An
    /// unavailable server, and room in a quota, are waited for: see [`SessionOptions::wait`](crate::SessionOptions::wait).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session ends in the background.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use leasehold::{Kubernetes, LockOptions, Options, SessionOptions, Sync as _};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> leasehold::Result<()> {
    /// let sync = Kubernetes::connect(Options::default().namespace("shop")).await?;
    /// let session = sync.session(SessionOptions::default()).await?;
    /// let guard = session.lock("orders", LockOptions::default()).await?;
    /// guard.release().await?;
    /// session.end().await
    /// # }
    /// ```
    pub async fn session(&self, options: SessionOptions) -> Result<Session> {
        let store = Arc::clone(&self.inspector.store) as Arc<dyn SessionStore>;
        let in_own_namespace = options.namespace.is_some();
        let opened = Session::open(store, &self.handle, options).await;
        opened.map_err(|error| if in_own_namespace { error } else { with_verbs_of_session(error) })
    }

    /// A handle for the cluster that `KUBECONFIG` or `~/.kube/config` names, or else for that of the pod it runs in.
    /// If there is a kubeconfig, its errors are errors: see [`ClusterOptions`].
    ///
    /// This sends no request. [`init`](crate::Sync::init) sends the first one. If the kubeconfig has a credential
    /// plugin, the call waits for it, as [`authenticate`](Self::authenticate) does.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the configuration is missing or wrong, with the next step, or if the credential plugin
    /// fails. [`Error::Invalid`] if an option cannot be used.
    pub async fn connect(options: Options) -> Result<Self> {
        let handle = Self::from_config(ClusterOptions::default().load().await?, options)?;
        handle.authenticate().await?;
        Ok(handle)
    }

    /// A handle that is configured by `config`, with a client that suits short deadlines: it does not retry, and it
    /// sets `TCP_NODELAY`, without which the first request of a connection takes about 45 ms longer. Its requests carry
    /// `User-Agent: leasehold/VERSION`, unless `config` has another one.
    ///
    /// The proxy is that of `config`. If it is also that of `HTTPS_PROXY`, it is used only if `NO_PROXY` does not name the
    /// server.
    ///
    /// The handle works on any Tokio runtime, while the runtime of this call lives: kube's client has a task on it.
    ///
    /// A credential plugin runs in a task of its own, one run at a time, and only while there are requests. They use the
    /// present credential until the next one is there. The plugin runs again a fifth of a credential's life before
    /// its end, and when the server refuses the credential. The refused request is then sent once more. A credential
    /// without an end is used until the server refuses it. The plugin has an empty standard input, unless that is a
    /// terminal and the kubeconfig permits it (`interactiveMode`). A run is ended after 60 s, or after 200 s if there
    /// is no usable credential. A token file and the files of a client certificate are read again every 10 s while there
    /// are requests, and when the server refuses the credential. `root_cert_file`, the file of the server's authorities,
    /// is read at each new connection.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if no client can be built from it, or if there is no Tokio runtime here: the client starts a
    /// task on it. [`Error::Invalid`] if an option cannot be used.
    pub fn from_config(mut config: kube::Config, mut options: Options) -> Result<Self> {
        require_runtime()?;
        connect::set_server(&mut config, &std::mem::take(&mut options.nodes))?;
        let (client, credentials) = connect::client(config)?;
        Ok(Self { credentials, ..Self::new(client, options)? })
    }

    /// Waits for the first credential, if a credential plugin or a file delivers it. Otherwise returns at once.
    ///
    /// Without this call the first request waits for it. So a wait for a lock, or a single try, would include the time
    /// that a plugin needs, and that of a person who logs in.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no credential. The next call tries again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not end the plugin.
    pub async fn authenticate(&self) -> Result<()> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        credentials.ready().await.map_err(|failure| Error::Config {
            backend: BACKEND,
            reason: failure.to_string(),
            source: None,
        })
    }

    /// The client of this handle, for other requests with the same connections and credentials.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.http.0.clone()
    }

    /// The name of the Lease of the lock or election `name`. Use it in the rules of a Role.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `name` cannot be the name of a lock or election.
    pub fn lease_name(&self, name: &str) -> Result<String> {
        self.inspector.record_name(name)
    }
}

implement_sync!(Kubernetes);
implement_inspect!(Kubernetes);

/// The pod that this process runs in, if the downward API provides its name and uid.
fn pod(own_namespace: &str) -> Option<Pod> {
    let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let namespace = var("POD_NAMESPACE").unwrap_or_else(|| own_namespace.to_owned());
    Some(Pod { namespace, name: var("POD_NAME")?, uid: var("POD_UID")? })
}
