//! Opens connections to the API server: directly, or through a proxy.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::proxy::{SocksV5, Tunnel},
    rt::TokioIo,
};
use kube::Config;
use tokio::{net::TcpStream, time::timeout};
use tower::{BoxError, Service, ServiceExt as _};

use super::{
    connector::Connector,
    proxy::{Proxy, ProxyKind},
    tls,
};
use crate::api::error::Result;

/// The way to a server, without the encryption of the server.
#[derive(Clone)]
pub(super) enum Route {
    Direct(Connector),
    Proxied { via: Box<Via>, name: String, limit: Duration },
}

/// The protocol that is spoken with the proxy.
#[derive(Clone)]
pub(super) enum Via {
    Tunnel(Tunnel<HttpsConnector<Connector>>),
    Socks(SocksV5<HttpsConnector<Connector>>),
}

/// The proxy opened no connection to the server.
#[derive(Debug, thiserror::Error)]
#[error("no connection through the proxy {proxy}")]
struct ProxyError {
    proxy: String,
    source: BoxError,
}

impl Route {
    /// A route that takes at most `limit` for a connection.
    pub(super) fn new(config: &Config, proxy: Option<Proxy>, limit: Duration) -> Result<Self> {
        let tcp = Connector::new(limit);
        let Some(proxy) = proxy else { return Ok(Self::Direct(tcp)) };
        let address = proxy.address();
        let hop = tls::connector(&hop(config, proxy.kind, &address), tcp)?;
        let via = match proxy.kind {
            ProxyKind::Http | ProxyKind::Https => {
                let tunnel = Tunnel::new(address, hop);
                Via::Tunnel(match proxy.authorization() {
                    Some(value) => tunnel.with_auth(value),
                    None => tunnel,
                })
            }
            ProxyKind::Socks5 => {
                let socks = SocksV5::new(address, hop);
                Via::Socks(match proxy.credentials {
                    Some((user, password)) => socks.with_auth(user, password),
                    None => socks,
                })
            }
        };
        Ok(Self::Proxied { via: Box::new(via), name: proxy.authority.to_string(), limit })
    }
}

/// The configuration of the connection to the proxy. An HTTPS proxy must have a certificate of the authority of the
/// server, if the server has one, because `kubectl` uses one list of authorities for both.
fn hop(config: &Config, kind: ProxyKind, address: &Uri) -> Config {
    let mut hop = Config::new(address.clone());
    match kind {
        ProxyKind::Https => {
            hop.root_cert.clone_from(&config.root_cert);
            hop.root_cert_file.clone_from(&config.root_cert_file);
            hop.accept_invalid_certs = config.accept_invalid_certs;
        }
        // No authority, so that none has to be loaded: this connection has no encryption of its own.
        ProxyKind::Http | ProxyKind::Socks5 => hop.root_cert = Some(Vec::new()),
    }
    hop
}

impl Service<Uri> for Route {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        match self.clone() {
            Self::Direct(tcp) => {
                Box::pin(async { Ok(MaybeHttpsStream::Http(tcp.oneshot(server).await?)) })
            }
            Self::Proxied { via, name, limit } => Box::pin(async move {
                let connection = async {
                    match *via {
                        Via::Tunnel(tunnel) => tunnel.oneshot(server).await.map_err(BoxError::from),
                        Via::Socks(socks) => socks.oneshot(server).await.map_err(BoxError::from),
                    }
                };
                let opened =
                    timeout(limit, connection).await.unwrap_or_else(|late| Err(late.into()));
                opened.map_err(|source| ProxyError { proxy: name, source }.into())
            }),
        }
    }
}
