//! The connection to the API server that the options select.

use std::sync::Arc;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use leasehold::{Kubernetes, Options, Sync as _};

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
    config: Config,
}

impl Connection {
    /// Reads the configuration, without a request to the server. `object` is the lock or election, for errors.
    pub(crate) async fn open(target: &Target, id: Option<&str>, object: &str) -> Outcome<Self> {
        let config = config(target).await.map_err(|cause| {
            let next = match &target.context {
                Some(_) => {
                    "`kubectl config get-contexts` lists the contexts; pass --kubeconfig or set \
                    KUBECONFIG to read another file"
                }
                None => "Pass --kubeconfig, set KUBECONFIG, or run in a pod with a service account",
            };
            let line = format!("{object}: no cluster is configured: {cause}. {next}");
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
            Subject { object, namespace, server: &server, busy_code: code::BUSY }.failure(&error)
        })?;
        let namespace = sync.options().namespace.clone().unwrap_or_default();
        let own_namespace = config.default_namespace.clone();
        Ok(Self { sync: Arc::new(sync), server, namespace, own_namespace, config })
    }

    /// A client for requests other than those of the library. It does not retry.
    pub(crate) fn client(&self) -> Outcome<Client> {
        let mut config = self.config.clone();
        config.default_retry = false;
        Client::try_from(config).map_err(|error| {
            Failure::new(
                code::UNAVAILABLE,
                format!("cannot create a client for {}: {error}", self.server),
            )
        })
    }

    pub(crate) fn subject<'a>(&'a self, object: &'a str) -> Subject<'a> {
        Subject { object, namespace: &self.namespace, server: &self.server, busy_code: code::BUSY }
    }
}

async fn config(target: &Target) -> Result<Config, String> {
    let options = KubeConfigOptions { context: target.context.clone(), ..Default::default() };
    let text = |error: &dyn std::error::Error| error.to_string();
    let kubeconfig = match (&target.kubeconfig, &target.context) {
        (None, None) => return Config::infer().await.map_err(|error| text(&error)),
        (Some(file), _) => Kubeconfig::read_from(file),
        (None, Some(_)) => Kubeconfig::read(),
    };
    let kubeconfig = kubeconfig.map_err(|error| text(&error))?;
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| text(&error))
}
