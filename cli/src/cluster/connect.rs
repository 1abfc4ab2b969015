//! The connection to the API server that the options select.

use std::sync::Arc;

use kube::{Client, Config};
use leasehold::{ClusterOptions, Error, Kubernetes, Options, Sync as _};

use crate::{
    cluster::target::Target,
    exit::{Failure, Outcome, Subject, code},
};

/// A handle of the library, and the server and namespace that it uses.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sync: Arc<Kubernetes>,
    /// The API server's address.
    pub(crate) server: String,
    pub(crate) namespace: String,
    /// The namespace of the context, or of the pod that this process runs in.
    pub(crate) own_namespace: String,
}

impl Connection {
    /// Reads the configuration, without a request to the server. `object` is the lock or election, for errors.
    pub(crate) async fn open(target: &Target, mut options: Options, object: &str) -> Outcome<Self> {
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
        if let Some(namespace) = &target.namespace {
            options = options.namespace(namespace);
        }
        let failure = |error: leasehold::Error| {
            let namespace = target.namespace.as_deref().unwrap_or("default");
            Subject { object, namespace, server: &server, busy_code: code::BUSY }.failure(&error)
        };
        let sync = Kubernetes::from_config(config, options).map_err(failure)?;
        // Before `--wait` and `--try` begin to count.
        sync.authenticate().await.map_err(failure)?;
        let namespace = sync.options().namespace.clone().unwrap_or_default();
        Ok(Self { sync: Arc::new(sync), server, namespace, own_namespace })
    }

    /// A client for requests other than those of the library. It does not retry.
    pub(crate) fn client(&self) -> Client {
        self.sync.client()
    }

    pub(crate) fn subject<'a>(&'a self, object: &'a str) -> Subject<'a> {
        Subject { object, namespace: &self.namespace, server: &self.server, busy_code: code::BUSY }
    }
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
