//! A control plane for tests: a real etcd and a real kube-apiserver.
//!
//! ```text
//!  test process ── stdin (pipe) ──► guardian (sh) ──► etcd
//!      │      └─── stdin (pipe) ──► guardian (sh) ──► kube-apiserver
//!      └────────── stdin (pipe) ──► janitor  (sh)     rm -rf of the directory
//! ```
//!
//! The pipes close when the test process ends, also when it crashes. The guardians then kill the servers, and after
//! them the janitor removes the directory.
//!
//! Three ways to choose the programs, in order of precedence:
//!
//! | variable | control plane |
//! |---|---|
//! | `LEASEHOLD_TEST_KUBECONFIG` | the cluster of this kubeconfig; nothing is started |
//! | `KUBEBUILDER_ASSETS` | the programs `etcd` and `kube-apiserver` in this directory |
//! | none | `target/controlplane/controlplane`, built by `tests/controlplane/build.sh` |

mod access;
mod admission;
mod etcd;
mod files;
mod process;
mod programs;
mod requests;
mod roles;
mod secrets;
mod servers;
mod usage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::OnceCell;

use self::access::Access;
use self::files::{Directory, write};
use self::programs::Origin;
use self::servers::Servers;

pub use self::etcd::EtcdCluster;
pub use self::requests::{Audited, since};
pub use self::roles::Rule;
pub use self::secrets::{ADMIN, PINNED, USERS, authority};
pub use self::usage::{EtcdSize, ServerUse, Stored};

/// A control plane for tests. Dropping it stops the servers.
///
/// Methods panic with a message when they fail.
#[derive(Debug)]
pub struct ControlPlane {
    access: Access,
    /// None for the cluster of `LEASEHOLD_TEST_KUBECONFIG`.
    servers: Option<Servers>,
    // Last, so that it is dropped after the servers, which write into it.
    directory: Arc<Directory>,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready, which takes about 3 s.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a control plane with these additional arguments of kube-apiserver.
    pub async fn start_with(flags: &[&str]) -> Self {
        let directory = Arc::new(Directory::new());
        match Origin::from_env() {
            Origin::Cluster(path) => {
                let access = Access::given(&path).await;
                Self { access, servers: None, directory }
            }
            Origin::Programs(programs) => {
                let (servers, access) = Servers::start(programs, flags, &directory).await;
                Self { access, servers: Some(servers), directory }
            }
        }
    }

    /// The control plane that all tests of this process share. The first call starts it.
    ///
    /// Each test uses its own namespace, and no test kills or pauses the servers.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Whether the test may kill, pause and restart the servers. If not, prints that the test is skipped; the test
    /// then returns.
    pub fn own(&self) -> bool {
        if self.servers.is_none() {
            let test = std::thread::current().name().unwrap_or("test").to_owned();
            eprintln!(
                "{test}: skipped, because the cluster of LEASEHOLD_TEST_KUBECONFIG must not be stopped"
            );
        }
        self.servers.is_some()
    }

    /// The URL of the API server, without a slash at the end.
    pub fn url(&self) -> String {
        self.access.config(ADMIN).cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// The PEM file of the authority that signed the certificate of the server.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub fn ca(&self) -> PathBuf {
        self.servers().ca()
    }

    /// The PEM file of the server's certificate for the name [`PINNED`], which no authority has signed.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub fn pinned(&self) -> PathBuf {
        self.servers().pinned()
    }

    /// A client certificate of an admin that ends after `valid`, and its key, in PEM.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub fn admin_certificate(&self, valid: Duration) -> (String, String) {
        self.servers().clients().admin(valid).expect("a certificate")
    }

    /// The URL of etcd, without encryption.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub fn etcd(&self) -> String {
        self.servers().etcd()
    }

    /// The client configuration of `user`. The retries of kube are off.
    ///
    /// [`ADMIN`] has all permissions, the other [`USERS`] those that [`ControlPlane::allow`] granted. In the cluster of
    /// `LEASEHOLD_TEST_KUBECONFIG` these users are impersonated.
    pub fn config(&self, user: &str) -> Config {
        self.access.config(user)
    }

    /// A new client of `user`, with its own connections. It works only in the runtime in which it was made.
    pub fn client(&self, user: &str) -> Client {
        Client::try_from(self.config(user)).expect("the configuration makes a client")
    }

    /// Writes a kubeconfig of `user` into a new file, which is removed with the control plane.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        let name = format!("kubeconfig-{user}-{}", uuid::Uuid::new_v4().simple());
        write(&self.directory.path().join(name), &self.access.kubeconfig(user))
    }

    /// Creates a namespace with a random name.
    ///
    /// The namespace is not deleted. In a cluster that lives on, its label is
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

    /// Grants `rules` in `namespace` to `user`, and waits until the server applies them.
    pub async fn allow(&self, user: &str, namespace: &str, rules: &[Rule<'_>]) {
        roles::allow(&self.client(ADMIN), user, namespace, rules).await;
    }

    /// Refuses new Leases in `namespace` that do not fulfil `validation`, an item of `validations` of a
    /// `ValidatingAdmissionPolicy`. A Lease without labels must not fulfil it.
    pub async fn require(&self, namespace: &str, validation: &serde_json::Value) {
        admission::require(&self.client(ADMIN), namespace, validation).await;
    }

    /// Limits the number of Leases in `namespace`, without those that exist. A later call changes the limit.
    pub async fn limit(&self, namespace: &str, count: u32) {
        admission::limit(&self.client(ADMIN), namespace, count).await;
    }

    /// Kills kube-apiserver with SIGKILL and waits until it has ended. Open connections are reset, new ones refused.
    pub fn kill_apiserver(&self) {
        self.servers().kill_apiserver();
    }

    /// Starts kube-apiserver again on the same port with the same certificates, and waits until it is ready. Kills it
    /// first if it runs.
    pub async fn restart_apiserver(&self) {
        self.servers().restart_apiserver(self.config(ADMIN)).await;
    }

    /// Pauses kube-apiserver with SIGSTOP and waits until it has stopped. Connections stay open, and the kernel accepts
    /// new ones, but no request is answered.
    pub fn pause_apiserver(&self) {
        self.servers().signal_apiserver(Signal::STOP);
    }

    /// Resumes kube-apiserver with SIGCONT. It answers the requests that arrived during the pause.
    pub fn resume_apiserver(&self) {
        self.servers().signal_apiserver(Signal::CONT);
    }

    /// Pauses etcd with SIGSTOP and waits until it has stopped. kube-apiserver answers reads from its cache; other
    /// requests hang until they time out.
    pub fn pause_etcd(&self) {
        self.servers().signal_etcd(Signal::STOP);
    }

    /// Resumes etcd with SIGCONT.
    pub fn resume_etcd(&self) {
        self.servers().signal_etcd(Signal::CONT);
    }

    /// The number of answered requests for Leases, by verb and status code.
    ///
    /// Source: the metric `apiserver_request_total`, for all users and namespaces. The verbs are `GET`, `LIST`,
    /// `WATCH`, `POST`, `PUT`, `PATCH` and `DELETE`. A request is counted when it is answered, a watch when it ends.
    /// Requests rejected with 401 or 403 are not counted; requests dropped by flow control (429) are. The counts start
    /// at 0 with each kube-apiserver. [`since`] subtracts two results.
    pub async fn requests(&self) -> BTreeMap<(String, u16), u64> {
        requests::metrics(&self.client(ADMIN)).await
    }

    /// The number of requests for Leases that `user` sent, by verb.
    ///
    /// Source: the audit log. The verbs are `get`, `list`, `watch`, `create`, `update`, `patch` and `delete`. Every
    /// authenticated request is counted when it arrives, a watch when it starts. The counts continue after a restart.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub fn audit(&self, user: &str) -> BTreeMap<String, u64> {
        self.audit_of(|request| request.user == user)
    }

    /// Like [`ControlPlane::audit`], for the requests for which `counts` returns true.
    pub fn audit_of(&self, counts: impl Fn(&Audited) -> bool) -> BTreeMap<String, u64> {
        requests::audit(&self.servers().audit_log(), counts)
    }

    /// The sum of the samples of a metric of kube-apiserver that have these labels; 0 if there is none.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        requests::metric(&self.client(ADMIN), name, labels).await
    }

    /// The bytes that kube-apiserver needs, without garbage: its heap after a collection, and its stacks.
    pub async fn live_memory(&self) -> f64 {
        requests::live_memory(&self.client(ADMIN)).await
    }

    /// What kube-apiserver has used since its start.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false, or kube-apiserver was killed.
    pub fn apiserver_use(&self) -> ServerUse {
        self.servers().apiserver_use()
    }

    /// What etcd has used since its start.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub fn etcd_use(&self) -> ServerUse {
        self.servers().etcd_use()
    }

    /// The size of the database of etcd, which includes all resources and events.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub async fn etcd_size(&self) -> EtcdSize {
        usage::size(&self.etcd()).await
    }

    /// The Leases in `namespace` whose names begin with `prefix`, as etcd stores them.
    ///
    /// # Panics
    ///
    /// If [`ControlPlane::own`] is false.
    pub async fn stored(&self, namespace: &str, prefix: &str) -> Stored {
        usage::stored(&self.etcd(), &format!("/registry/leases/{namespace}/{prefix}")).await
    }

    fn servers(&self) -> &Servers {
        self.servers.as_ref().expect("own() is true")
    }
}
