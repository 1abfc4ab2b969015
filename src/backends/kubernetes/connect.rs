//! Builds a client for short deadlines from a configuration.

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

/// The maximum time to open a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The configuration from the kubeconfig, or from the pod's service account.
pub(super) async fn infer() -> Result<Config> {
    Config::infer().await.map_err(|error| Error::Config {
        backend: BACKEND,
        reason: format!("{error}. Set KUBECONFIG to a valid kubeconfig, or run in a pod with a service account token"),
        source: Some(Arc::new(error)),
    })
}

/// Replaces the configured API server by the one in `nodes`, if there is one.
pub(super) fn set_server(config: &mut Config, nodes: &[String]) -> Result<()> {
    let [node] = nodes else {
        return match nodes {
            [] => Ok(()),
            [_, second, ..] => Err(Error::invalid(
                "node",
                second,
                "this backend takes one API server URL. For several servers, give \
                 the URL of a load balancer in front of them",
            )),
            [_] => unreachable!("the first pattern matches one node"),
        };
    };
    let url: http::Uri = node
        .parse()
        .map_err(|error| Error::invalid("node", node, format!("it is not a URL: {error}")))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(Error::invalid(
            "node",
            node,
            "it must begin with http:// or https://, followed by a host",
        ));
    }
    config.cluster_url = url;
    Ok(())
}

/// A client without retries and with `TCP_NODELAY`.
///
/// A retry inside the client takes time that a holder may not have. It also hides that the first attempt was stored:
/// the second attempt then conflicts with the first. Without `TCP_NODELAY` the first request of each connection
/// waits about 45 ms for a delayed acknowledgement.
pub(super) fn client(mut config: Config) -> Result<Client> {
    config.default_retry = false;
    let unusable = |error: kube::Error| Error::Config {
        backend: BACKEND,
        reason: format!(
            "no client can be built from it: {error}. Check the certificates and the proxy in the kubeconfig"
        ),
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
