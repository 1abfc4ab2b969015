//! A real etcd and kube-apiserver for the tests.
//!
//! ```text
//!  test process ── stdin (pipe) ──► guardian (sh) ──► etcd
//!      │      └─── stdin (pipe) ──► guardian (sh) ──► kube-apiserver
//!      └────────── stdin (pipe) ──► janitor  (sh)     rm -rf of the directory
//! ```
//!
//! When the test process ends, in whatever way, the pipes end with it: the guardians kill
//! the servers, and once they are gone the janitor removes the directory.
//!
//! Three ways to choose the programs, the first that is set wins:
//!
//! | | |
//! |---|---|
//! | `LEASEHOLD_TEST_KUBECONFIG` | a kubeconfig; its cluster is used, nothing is started |
//! | `KUBEBUILDER_ASSETS` | a directory with `etcd` and `kube-apiserver` |
//! | neither | `target/controlplane/controlplane`, which `tests/controlplane/build.sh` builds |

mod access;
mod files;
mod process;
mod programs;
mod requests;
mod roles;
mod secrets;
mod servers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::OnceCell;

use self::access::Access;
use self::files::{Directory, write};
use self::programs::Origin;
use self::servers::Servers;

pub use self::requests::{Audited, since};
pub use self::roles::Rule;
pub use self::secrets::{ADMIN, USERS};

/// A control plane to test against. Dropping it ends it.
///
/// Everything panics with a message when it fails, as a test would.
#[derive(Debug)]
pub struct ControlPlane {
    access: Access,
    /// None when somebody else's cluster is used.
    servers: Option<Servers>,
    // Last, so that it goes after the servers that write into it.
    directory: Arc<Directory>,
}

impl ControlPlane {
    /// Starts a control plane of the test's own and waits until it is ready, about 3 s.
    pub async fn start() -> Self {
        let directory = Arc::new(Directory::new());
        match Origin::from_env() {
            Origin::Cluster(path) => {
                let access = Access::given(&path).await;
                Self { access, servers: None, directory }
            }
            Origin::Programs(programs) => {
                let (servers, access) = Servers::start(programs, &directory).await;
                Self { access, servers: Some(servers), directory }
            }
        }
    }

    /// The one that all tests of this process share, started by the first that asks.
    ///
    /// Tests tell their requests apart by namespace and do not kill or pause it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Whether its processes are ours to kill, pause and restart. Says so if not: the test
    /// that asked is to return.
    pub fn own(&self) -> bool {
        if self.servers.is_none() {
            let test = std::thread::current().name().unwrap_or("test").to_owned();
            eprintln!("{test}: skipped, the cluster of LEASEHOLD_TEST_KUBECONFIG is not ours");
        }
        self.servers.is_some()
    }

    /// Where the API is served, without a slash at the end.
    pub fn url(&self) -> String {
        self.access.config(ADMIN).cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// The certificate of the authority that signed the server's, PEM.
    ///
    /// # Panics
    ///
    /// Unless [`ControlPlane::own`].
    pub fn ca(&self) -> PathBuf {
        self.servers().ca()
    }

    /// Where its etcd serves clients, without encryption.
    ///
    /// # Panics
    ///
    /// Unless [`ControlPlane::own`].
    pub fn etcd(&self) -> String {
        self.servers().etcd()
    }

    /// How `user` reaches it. kube's own retries are off.
    ///
    /// [`ADMIN`] may do everything, the other [`USERS`] what [`ControlPlane::allow`] gave them.
    /// In somebody else's cluster they are impersonated.
    pub fn config(&self, user: &str) -> Config {
        self.access.config(user)
    }

    /// A new client of `user`, with connections of its own. It belongs to the runtime it is
    /// made in.
    pub fn client(&self, user: &str) -> Client {
        Client::try_from(self.config(user)).expect("the configuration makes a client")
    }

    /// Writes a kubeconfig of `user`, a new file with each call. It goes with the control plane.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        let name = format!("kubeconfig-{user}-{}", uuid::Uuid::new_v4().simple());
        write(&self.directory.path().join(name), &self.access.kubeconfig(user))
    }

    /// Creates a namespace with a random name.
    ///
    /// It stays. In a cluster that stays as well it can be found by its label,
    /// `app.kubernetes.io/managed-by=leasehold-tests`.
    pub async fn namespace(&self) -> String {
        let namespace = serde_json::from_value(json!({ "metadata": {
            "generateName": "leasehold-test-",
            "labels": { "app.kubernetes.io/managed-by": "leasehold-tests" },
        } }))
        .expect("a namespace");
        let namespaces: Api<Namespace> = Api::all(self.client(ADMIN));
        let created = namespaces.create(&kube::api::PostParams::default(), &namespace).await;
        created.expect("namespace created").metadata.name.expect("a created object has a name")
    }

    /// Gives `user` a role with `rules` in `namespace`, and returns once it is in force.
    pub async fn allow(&self, user: &str, namespace: &str, rules: &[Rule<'_>]) {
        roles::allow(&self.client(ADMIN), user, namespace, rules).await;
    }

    /// SIGKILL to kube-apiserver; returns when it is gone. Open connections are reset,
    /// new ones refused.
    pub fn kill_apiserver(&self) {
        self.servers().kill_apiserver();
    }

    /// Starts kube-apiserver again, on the same port and with the same certificates, and waits
    /// until it is ready. Kills it first if it runs.
    pub async fn restart_apiserver(&self) {
        self.servers().restart_apiserver(self.config(ADMIN)).await;
    }

    /// SIGSTOP to kube-apiserver; returns when it stands still. Connections stay open and new
    /// ones are accepted (by the kernel), nothing is answered.
    pub fn pause_apiserver(&self) {
        self.servers().signal_apiserver(Signal::STOP);
    }

    /// SIGCONT to kube-apiserver: it answers what came in meanwhile.
    pub fn resume_apiserver(&self) {
        self.servers().signal_apiserver(Signal::CONT);
    }

    /// SIGSTOP to etcd; returns when it stands still. kube-apiserver still accepts requests
    /// and answers reads it has cached; the others hang until it gives up.
    pub fn pause_etcd(&self) {
        self.servers().signal_etcd(Signal::STOP);
    }

    /// SIGCONT to etcd.
    pub fn resume_etcd(&self) {
        self.servers().signal_etcd(Signal::CONT);
    }

    /// How many requests for Leases were answered, by verb and status code.
    ///
    /// Source: `apiserver_request_total`, of all users and namespaces. The verbs are `GET`,
    /// `LIST`, `WATCH`, `POST`, `PUT`, `PATCH` and `DELETE`. A request is counted when it has been
    /// answered, a watch when it ends. One that did not get as far as Leases is not counted (401,
    /// 403), but one dropped by flow control is (429). Starts at 0 with each kube-apiserver.
    /// Subtract two of these with [`since`].
    pub async fn requests(&self) -> BTreeMap<(String, u16), u64> {
        requests::metrics(&self.client(ADMIN)).await
    }

    /// How many requests for Leases `user` sent, by verb.
    ///
    /// Source: the audit log. The verbs are `get`, `list`, `watch`, `create`, `update`, `patch`
    /// and `delete`. A request is counted when it arrives, whatever becomes of it, a watch when
    /// it starts; what nobody could authenticate is not. Goes on counting over restarts.
    ///
    /// # Panics
    ///
    /// Unless [`ControlPlane::own`].
    pub fn audit(&self, user: &str) -> BTreeMap<String, u64> {
        self.audit_of(|request| request.user == user)
    }

    /// As [`ControlPlane::audit`], of the requests for which `counts` holds.
    pub fn audit_of(&self, counts: impl Fn(&Audited) -> bool) -> BTreeMap<String, u64> {
        requests::audit(&self.servers().audit_log(), counts)
    }

    fn servers(&self) -> &Servers {
        self.servers.as_ref().expect("asked own() first")
    }
}
