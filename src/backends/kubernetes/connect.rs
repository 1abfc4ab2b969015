//! Builds a client for short deadlines from a configuration.

use std::time::Duration;

use http::{HeaderValue, header::USER_AGENT};
use kube::{Client, Config, client::ConfigExt as _};
use tower::ServiceBuilder;

use super::{
    configuration::{configuration_error, proxy_of_environment},
    credentials::{Credentials, Source},
    pools::Pools,
    proxy::{self, Proxy},
    route::Route,
    tls::{self, unusable},
    url,
};
use crate::api::error::{Error, Result};

/// The maximum time to open a connection, after the name of the server is resolved.
const CONNECT: Duration = Duration::from_secs(5);
/// The program has the version of the library.
const OWN_USER_AGENT: &str = concat!("leasehold/", env!("CARGO_PKG_VERSION"));

/// Replaces the configured API server by the one in `nodes`, if there is one. The server's URL then has no password.
pub(super) fn set_server(config: &mut Config, nodes: &[String]) -> Result<()> {
    let [node] = nodes else {
        return match nodes {
            [] => {
                url::move_credentials(config);
                Ok(())
            }
            [_, second, ..] => Err(Error::invalid(
                "node",
                &url::redacted(second),
                "this backend takes one API server URL. For several servers, give \
                 the URL of a load balancer in front of them",
            )),
            [_] => unreachable!("the first pattern matches one node"),
        };
    };
    let shown = url::redacted(node);
    let server: http::Uri = node
        .parse()
        .map_err(|error| Error::invalid("node", &shown, format!("it is not a URL: {error}")))?;
    if !matches!(server.scheme_str(), Some("http" | "https")) || server.host().is_none() {
        return Err(Error::invalid(
            "node",
            &shown,
            "it must begin with http:// or https://, followed by a host",
        ));
    }
    config.cluster_url = server;
    url::move_credentials(config);
    Ok(())
}

/// A client for `config`, and its credentials if they change while the client lives.
pub(super) fn client(mut config: Config) -> Result<(Client, Option<Credentials>)> {
    let Some(source) = Source::take(&mut config)? else { return Ok((transport(config)?, None)) };
    let (client, credentials) = Credentials::client(source, config, transport)?;
    Ok((client, Some(credentials)))
}

/// A client without retries and with `TCP_NODELAY`.
///
/// A retry inside the client takes time that a holder may not have. It also hides that the first attempt was stored:
/// the second attempt then conflicts with the first. Without `TCP_NODELAY` the first request of each connection
/// waits about 45 ms for a delayed acknowledgement.
fn transport(mut config: Config) -> Result<Client> {
    config.default_retry = false;
    set_user_agent(&mut config);
    let limit = config.connect_timeout.unwrap_or(CONNECT).min(CONNECT);
    let route = Route::new(&config, proxy(&config)?, limit)?;
    let tls = tls::connector(&config, route)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(unusable)?)
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .map_err(tower::BoxError::from)
        .service(Pools::new(&tls));
    Ok(Client::new(service, config.default_namespace))
}

/// Names this crate in the audit log of the server, and as the manager of the fields that it writes.
fn set_user_agent(config: &mut Config) {
    if !config.headers.iter().any(|(name, _)| *name == USER_AGENT) {
        config.headers.push((USER_AGENT, HeaderValue::from_static(OWN_USER_AGENT)));
    }
}

/// The proxy of `config`. One that kube took from the environment is used only if `NO_PROXY` does not name the server.
fn proxy(config: &Config) -> Result<Option<Proxy>> {
    let url = match &config.proxy_url {
        Some(url) if proxy::is_of_environment(url) => proxy_of_environment(config)?,
        url => url.clone(),
    };
    let proxy = url.as_ref().map(Proxy::of).transpose();
    proxy.map_err(|error| configuration_error(error.to_string(), error))
}
