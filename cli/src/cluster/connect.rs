//! The connection to the cluster that the options select.

use std::sync::Arc;

use kube::{Client, Config};
use leasehold::{
    ClusterOptions, DynSync, Error, Etcd, Inspect, Kubernetes, LeaseRecord, Options, RecordOptions,
    Session, SessionInfo, SessionOptions, Sync as _,
};

use crate::{
    backend::Backend,
    cluster::target::Target,
    exit::{Failure, Outcome, Subject, code},
};

/// A handle of the library, and the server and namespace that it uses.
#[derive(Debug)]
pub(crate) struct Connection {
    handle: Handle,
    pub(crate) sync: Arc<DynSync>,
    pub(crate) inspect: Arc<dyn Inspect>,
    /// The API server's address, or those of the nodes of etcd.
    pub(crate) server: String,
    /// A text that is the same for all processes which use the same records.
    pub(crate) place: String,
    pub(crate) namespace: String,
    /// The namespace of the context, or of the pod that this process runs in.
    pub(crate) own_namespace: String,
}

/// The handle, for what only one backend has.
#[derive(Debug)]
enum Handle {
    Kubernetes(Kubernetes),
    Etcd(Etcd),
}

impl Connection {
    /// Reads the configuration, without a request to the server. `object` is the lock or election, for errors.
    pub(crate) async fn open(target: &Target, mut options: Options, object: &str) -> Outcome<Self> {
        if let Some(namespace) = &target.namespace {
            options = options.namespace(namespace);
        }
        if target.etcd.is_selected() {
            Self::open_etcd(target, options, object).await
        } else {
            Self::open_kubernetes(target, options, object).await
        }
    }

    async fn open_kubernetes(target: &Target, options: Options, object: &str) -> Outcome<Self> {
        let config = config(target).await.map_err(|error| {
            let cause = match &error {
                Error::Config { reason, .. } => reason.clone(),
                other => other.to_string(),
            };
            let next = match &target.context {
                Some(_) => "`kubectl config get-contexts` lists the contexts; --kubeconfig selects another file",
                None => "--kubeconfig and --context select another cluster",
            };
            let line = format!("{object}: no cluster is configured: {cause}. {next}");
            Failure::new(code::UNAVAILABLE, line)
        })?;
        let own_namespace = config.default_namespace.clone();
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let failure =
            |error: Error| subject(target, object, &server, Backend::Kubernetes).failure(&error);
        let sync = Kubernetes::from_config(config, options).map_err(failure)?;
        // Before `--wait` and `--try` begin to count.
        sync.authenticate().await.map_err(failure)?;
        let place = server.clone();
        Ok(Self {
            namespace: sync.options().namespace.clone().unwrap_or_default(),
            sync: Arc::new(sync.clone()),
            inspect: Arc::new(sync.clone()),
            handle: Handle::Kubernetes(sync),
            server,
            place,
            own_namespace,
        })
    }

    async fn open_etcd(target: &Target, options: Options, object: &str) -> Outcome<Self> {
        target.refuse_with_etcd(&[
            ("--kubeconfig", "LEASEHOLD_KUBECONFIG", target.kubeconfig.is_some()),
            ("--context", "LEASEHOLD_CONTEXT", target.context.is_some()),
        ])?;
        let server = target.etcd.nodes();
        let failure =
            |error: &Error| subject(target, object, &server, Backend::Etcd).failure(error);
        let sync = target.etcd.connect(options, failure).await?;
        let namespace = sync.options().namespace.clone().unwrap_or_default();
        Ok(Self {
            sync: Arc::new(sync.clone()),
            inspect: Arc::new(sync.clone()),
            handle: Handle::Etcd(sync),
            place: target.etcd.place(),
            server,
            own_namespace: namespace.clone(),
            namespace,
        })
    }

    pub(crate) const fn backend(&self) -> Backend {
        match self.handle {
            Handle::Kubernetes(_) => Backend::Kubernetes,
            Handle::Etcd(_) => Backend::Etcd,
        }
    }

    /// The record of the lock or election `name`, if there is one.
    pub(crate) async fn record(&self, name: &str) -> Result<Option<LeaseRecord>, Error> {
        let options = RecordOptions::default().lease(self.inspect.record_name(name)?);
        Ok(self.inspect.list_records(options).await?.into_iter().next())
    }

    /// What is known of the session `id` in this namespace, if it is there. `None` is the namespace of the handle.
    pub(crate) async fn session_info(
        &self,
        id: &str,
        namespace: Option<&str>,
    ) -> Result<Option<SessionInfo>, Error> {
        let mut options = RecordOptions::default().lease(id);
        options.namespace = namespace.map(ToOwned::to_owned);
        Ok(self.inspect.list_sessions(options).await?.into_iter().next())
    }

    /// Opens a session.
    pub(crate) async fn session(&self, options: SessionOptions) -> Result<Session, Error> {
        match &self.handle {
            Handle::Kubernetes(sync) => sync.session(options).await,
            Handle::Etcd(sync) => sync.session(options).await,
        }
    }

    /// A client of the API server for requests other than those of the library, if there is one. It does not retry.
    pub(crate) fn client(&self) -> Option<Client> {
        match &self.handle {
            Handle::Kubernetes(sync) => Some(sync.client()),
            Handle::Etcd(_) => None,
        }
    }

    pub(crate) fn subject<'a>(&'a self, object: &'a str) -> Subject<'a> {
        Subject {
            object,
            namespace: &self.namespace,
            server: &self.server,
            backend: self.backend(),
            busy_code: code::BUSY,
        }
    }
}

/// The subject of an error before there is a handle.
fn subject<'a>(
    target: &'a Target,
    object: &'a str,
    server: &'a str,
    backend: Backend,
) -> Subject<'a> {
    let namespace = target.namespace.as_deref().unwrap_or("default");
    Subject { object, namespace, server, backend, busy_code: code::BUSY }
}

async fn config(target: &Target) -> Result<Config, Error> {
    let mut options = ClusterOptions::default();
    if let Some(path) = &target.kubeconfig {
        options = options.kubeconfig(path);
    }
    if let Some(context) = &target.context {
        options = options.context(context);
    }
    options.load().await
}
