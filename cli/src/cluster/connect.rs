//! From the options to a handle on a cluster.

use std::sync::Arc;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use leasehold::{Kubernetes, Options, Sync as _};

use crate::{
    cluster::target::Target,
    exit::{About, Failure, Outcome, code},
};

/// A handle, and where it leads.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sync: Arc<Kubernetes>,
    /// The API server's address.
    pub(crate) server: String,
    pub(crate) namespace: String,
    /// The namespace of the context, or of the pod this runs in.
    pub(crate) own_namespace: String,
    config: Config,
}

impl Connection {
    /// Reads the configuration; reaches no server yet. `object` is what the connection is for.
    pub(crate) async fn open(target: &Target, id: Option<&str>, object: &str) -> Outcome<Self> {
        let config = config(target).await.map_err(|cause| {
            let next = match &target.context {
                Some(_) => "Pass --kubeconfig or set KUBECONFIG, if it is in another file; `kubectl config get-contexts` lists what there is",
                None => "Pass --kubeconfig, set KUBECONFIG, or run in a pod with a service account",
            };
            let line = format!("{object}: no cluster to talk to: {cause}. {next}");
            Failure::new(code::UNAVAILABLE, line)
        })?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let mut options = Options::default();
        if let Some(namespace) = &target.namespace {
            options = options.namespace(namespace);
        }
        if let Some(id) = id {
            options = options.identity(id);
        }
        let sync = Kubernetes::from_config(config.clone(), options).map_err(|error| {
            let namespace = target.namespace.as_deref().unwrap_or("default");
            About { object, namespace, server: &server, busy: code::BUSY }.failure(&error)
        })?;
        let namespace = sync.options().namespace.clone().unwrap_or_default();
        let own_namespace = config.default_namespace.clone();
        Ok(Self { sync: Arc::new(sync), server, namespace, own_namespace, config })
    }

    /// A client for what is no lock or election. It does not try again by itself.
    pub(crate) fn client(&self) -> Outcome<Client> {
        let mut config = self.config.clone();
        config.default_retry = false;
        Client::try_from(config).map_err(|error| {
            Failure::new(code::UNAVAILABLE, format!("no client for {}: {error}", self.server))
        })
    }

    pub(crate) fn about<'a>(&'a self, object: &'a str) -> About<'a> {
        About { object, namespace: &self.namespace, server: &self.server, busy: code::BUSY }
    }
}

async fn config(target: &Target) -> Result<Config, String> {
    let options = KubeConfigOptions { context: target.context.clone(), ..Default::default() };
    let told = |error: &dyn std::error::Error| error.to_string();
    let kubeconfig = match (&target.kubeconfig, &target.context) {
        (None, None) => return Config::infer().await.map_err(|error| told(&error)),
        (Some(file), _) => Kubeconfig::read_from(file),
        (None, Some(_)) => Kubeconfig::read(),
    };
    let kubeconfig = kubeconfig.map_err(|error| told(&error))?;
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| told(&error))
}
