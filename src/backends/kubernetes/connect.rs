//! From a configuration to a client that suits short deadlines.

use std::{sync::Arc, time::Duration};

use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{ClientBuilder, ConfigExt as _},
};
use tower::ServiceBuilder;

use super::BACKEND;
use crate::api::error::{Error, Result};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// The kubeconfig's configuration, or that of the pod.
pub(super) async fn infer() -> Result<Config> {
    Config::infer().await.map_err(|error| Error::Config {
        backend: BACKEND,
        reason: format!("{error}. Set KUBECONFIG, or run in a pod with a service account token"),
        source: Some(Arc::new(error)),
    })
}

/// Takes the one address in `nodes`, if there is one, in place of the configured server.
pub(super) fn set_server(config: &mut Config, nodes: &[String]) -> Result<()> {
    let [node] = nodes else {
        return match nodes {
            [] => Ok(()),
            [_, second, ..] => Err(Error::invalid(
                "node",
                second,
                "this backend takes one API server URL: put a load balancer before several",
            )),
            [_] => unreachable!("taken above"),
        };
    };
    let url: http::Uri = node
        .parse()
        .map_err(|error| Error::invalid("node", node, format!("it is not a URL: {error}")))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(Error::invalid("node", node, "it must be http:// or https:// and a host"));
    }
    config.cluster_url = url;
    Ok(())
}

/// A client without retries of its own and with `TCP_NODELAY`.
pub(super) fn client(mut config: Config) -> Result<Client> {
    config.default_retry = false;
    let unusable = |error: kube::Error| Error::Config {
        backend: BACKEND,
        reason: format!("no client can be built from it: {error}"),
        source: Some(Arc::new(error)),
    };
    if config.proxy_url.is_some() {
        return Ok(ClientBuilder::try_from(config).map_err(unusable)?.build());
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(config.connect_timeout.unwrap_or(CONNECT).min(CONNECT)));
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    let tls = config.rustls_https_connector_with_connector(tcp).map_err(unusable)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(unusable)?)
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .map_err(tower::BoxError::from)
        .service(HyperClient::builder(TokioExecutor::new()).build(tls));
    Ok(Client::new(service, config.default_namespace))
}
