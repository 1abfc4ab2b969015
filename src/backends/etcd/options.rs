//! How a cluster of etcd is reached: user, password and TLS.

use std::{fmt, sync::Arc, time::Duration};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{
    BACKEND,
    client::{Client, User},
};
use crate::{
    api::error::{Cause, Error, Result},
    runtime::handle::require_runtime,
};

/// The node of a handle that has chosen none.
const DEFAULT_NODE: &str = "127.0.0.1:2379";
/// How long a connection may take. It goes on when the attempt that began it is over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection with open requests is tested, and how long the answer may take. etcd closes a connection that
/// is tested more often than every 5 s.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a cluster of etcd is reached. The addresses of its nodes are [`Options::nodes`](crate::Options::nodes).
///
/// ```
/// use leasehold::EtcdOptions;
///
/// let options = EtcdOptions::default().user("shop", "secret");
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct EtcdOptions {
    user: Option<User>,
    tls: bool,
    authority: Option<String>,
    certificate: Option<(String, String)>,
    server_name: Option<String>,
}

impl EtcdOptions {
    /// The user and the password of every request. Defaults to none: etcd then accepts requests if its authentication is
    /// off, or if the client certificate names a user.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some(User { name: name.into(), password: password.into() });
        self
    }

    /// Uses TLS also for nodes without `https://`. The other options of TLS imply it.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The certificates of the authority that signed those of the nodes, in PEM. Defaults to the authorities that the
    /// system trusts.
    pub fn authority(mut self, pem: impl Into<String>) -> Self {
        self.authority = Some(pem.into());
        self.tls()
    }

    /// The client certificate and its key, both in PEM. Defaults to none.
    pub fn certificate(mut self, pem: impl Into<String>, key: impl Into<String>) -> Self {
        self.certificate = Some((pem.into(), key.into()));
        self.tls()
    }

    /// The name that the certificates of the nodes state. Defaults to the host of each node's address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self.tls()
    }

    /// A client of `nodes`. It sends no request.
    pub(super) fn client(self, nodes: &[String]) -> Result<Client> {
        require_runtime()?;
        let default = [DEFAULT_NODE.to_owned()];
        let nodes = if nodes.is_empty() { &default } else { nodes };
        let connections = nodes.iter().map(|node| self.connection(node)).collect::<Result<_>>()?;
        Ok(Client::new(connections, self.user))
    }

    fn connection(&self, node: &str) -> Result<Channel> {
        let scheme = if self.tls { "https" } else { "http" };
        let url = if node.contains("://") { node.to_owned() } else { format!("{scheme}://{node}") };
        let bound = "a node is HOST:PORT, http://HOST:PORT or https://HOST:PORT";
        let endpoint = Endpoint::from_shared(url.clone());
        let mut endpoint = endpoint.map_err(|_| Error::invalid("node", node, bound))?;
        if endpoint.uri().port().is_none() {
            return Err(Error::invalid("node", node, bound));
        }
        match endpoint.uri().scheme_str() {
            Some("https") => {
                let config = self.tls_config()?;
                endpoint = endpoint.tls_config(config).map_err(|error| unusable(Some(error)))?;
            }
            Some("http") if !self.tls => {}
            Some("http") => {
                let bound = "with certificates, a node must not begin with http://";
                return Err(Error::invalid("node", node, bound));
            }
            _ => return Err(Error::invalid("node", node, bound)),
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        Ok(endpoint.connect_lazy())
    }

    fn tls_config(&self) -> Result<ClientTlsConfig> {
        let mut config = match &self.authority {
            // Otherwise no certificate would be trusted, and each connection would fail.
            Some(pem) if !pem.contains("BEGIN CERTIFICATE") => return Err(unusable(None)),
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((pem, key)) = &self.certificate {
            config = config.identity(Identity::from_pem(pem, key));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}

fn unusable(error: Option<tonic::transport::Error>) -> Error {
    Error::Config {
        backend: BACKEND,
        reason: "the certificates or the key cannot be used. Each is a text in PEM".into(),
        source: error.map(|error| Arc::new(error) as Cause),
    }
}

/// Without password and key.
impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("user", &self.user.as_ref().map(|user| &user.name))
            .field("tls", &self.tls)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
