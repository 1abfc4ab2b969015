//! The etcd backend: locks and elections on keys of etcd, for programs outside Kubernetes.
//!
//! | module | contents |
//! |---|---|
//! | `store`, `sessions` | the `Store` and the `SessionStore`: one request for each call; the watch of a scope |
//! | `inspect` | the `InspectStore`: requests of the tools for operators |
//! | `watch` | watches on a stream of etcd: of a key or of a range |
//! | `held`, `held_watch` | the index of held locks; the watch of one session |
//! | `keys`, `codec` | keys; values as JSON, and records |
//! | `error` | turns the status of a failed request into an error |
//! | `client`, `nodes` | credentials; which node gets a request |
//! | `options`, `connections`, `secret` | addresses, user and TLS; the connections; texts that may be in a file |
//! | `messages` | etcd's messages |

mod client;
mod codec;
mod connections;
mod error;
mod held;
mod held_watch;
mod inspect;
mod keys;
mod messages;
mod nodes;
mod options;
mod secret;
mod sessions;
mod store;
mod watch;

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

pub use self::options::EtcdOptions;
use self::{keys::Prefix, store::Records};
use crate::{
    ElectWatcher, Guard, Leader, LeaderOptions, ListMembersOptions, LockOptions, Member, Options,
    Result, Session, SessionOptions, WatchElectOptions,
    runtime::{
        handle::Handle,
        implement::implement_sync,
        inspect::{Inspector, implement_inspect},
    },
    store::{Store, sessions::SessionStore},
};

/// The name of this backend.
const BACKEND: &str = "etcd";

/// Locks and elections on keys of an etcd cluster, for programs outside Kubernetes.
///
/// Each lock or election is one key, `PREFIX/NAMESPACE/NAME`, with a JSON value. [`Options::prefix`] is the prefix of all
/// keys, `/leasehold` if there is none. In NAME, a byte that is no printable ASCII character is written as `%` and two
/// hexadecimal digits, and so are `%`, `/` and `~`. The namespace is `default` if the options have none, and may be any
/// text without a slash that does not begin with `~`. Labels and annotations are checked and ignored.
///
/// etcd needs version 3.4 or newer. Any node serves any request. If a node does not answer, requests go to the next one.
///
/// The guarantees are those of the other backends. etcd's own leases are not used, so the clocks of its nodes do not
/// matter.
///
/// # Permissions
///
/// If authentication is on, the user needs a role with `readwrite` on the prefix of the keys:
/// `etcdctl role grant-permission ROLE readwrite --prefix=true /leasehold/shop/` for one namespace.
///
/// # Examples
///
/// ```no_run
/// use leasehold::{Etcd, LockOptions, Options, Sync as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> leasehold::Result<()> {
/// let nodes = ["10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"];
/// let sync = Etcd::connect(Options::default().nodes(nodes).prefix("/vine/sync")).await?;
/// let guard = sync.lock("orders", LockOptions::default()).await?;
/// guard.check()?;
/// guard.release().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Etcd {
    handle: Arc<Handle>,
    inspector: Inspector,
}

impl Etcd {
    /// A handle for the cluster with these [`nodes`](Options::nodes), or for `127.0.0.1:2379` if there are none, without
    /// a user. Sends no request: [`init`](crate::Sync::init) sends the first one.
    ///
    /// The handle works on any Tokio runtime, while the runtime of this call lives: the connections have tasks on it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used.
    pub async fn connect(options: Options) -> Result<Self> {
        Self::connect_with(EtcdOptions::default(), options).await
    }

    /// As [`connect`](Self::connect), with a user or with TLS.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, [`Error::Config`](crate::Error::Config) if
    /// a certificate cannot be used, or a file cannot be read.
    #[expect(clippy::unused_async, reason = "like the other backends, which may send a request")]
    pub async fn connect_with(etcd: EtcdOptions, options: Options) -> Result<Self> {
        let prefix = Prefix::parse(&options.prefix)?;
        let client = etcd.client(&options.nodes)?;
        let store = Arc::new(Records::new(client, prefix));
        let records = Arc::clone(&store) as Arc<dyn Store>;
        let handle = Handle::new(records, options, "default")?;
        let inspector = Inspector { handle: Arc::clone(&handle), store };
        Ok(Self { handle, inspector })
    }

    /// Opens a session: one heartbeat for any number of locks, first come, first served. It works also after this handle
    /// is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and refusals of etcd. An unavailable
    /// cluster is waited for.
    pub async fn session(&self, options: SessionOptions) -> Result<Session> {
        let store = Arc::clone(&self.inspector.store) as Arc<dyn SessionStore>;
        Session::open(store, &self.handle, options).await
    }
}

implement_sync!(Etcd);
implement_inspect!(Etcd);
