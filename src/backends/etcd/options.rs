//! How a cluster of etcd is reached: user, password and TLS.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tonic::transport::Endpoint;

use super::{
    BACKEND,
    client::{Client, User},
    connections::{Connections, Tls, Unusable},
    secret::{Password, Secret},
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
    user: Option<(String, Secret)>,
    /// Whether all nodes are reached with TLS.
    encrypted: bool,
    tls: Tls,
}

impl EtcdOptions {
    /// The user and the password of every request. Defaults to none: etcd then accepts requests if its authentication is
    /// off, or if the client certificate names a user.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), Secret::Text(password.into())));
        self
    }

    /// As [`user`](Self::user), with the password in a file, without the line break at its end. It is read at each
    /// authentication, so a new password needs no new handle. Replace the file first, and change the password in etcd
    /// after that: etcd refuses the old one at once. While the file is missing or empty, the last password is used.
    pub fn user_with_file(mut self, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.user = Some((name.into(), Secret::File(file.into())));
        self
    }

    /// Uses TLS also for nodes without `https://`. The other options of TLS imply it.
    pub fn tls(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// The certificates of the authority that signed those of the nodes, in PEM. Defaults to the authorities that the
    /// system trusts.
    pub fn authority(mut self, pem: impl Into<String>) -> Self {
        self.tls.authority = Some(Secret::Text(pem.into()));
        self.tls()
    }

    /// As [`authority`](Self::authority), in a file. It is read again when it was replaced: every ten seconds while there
    /// are requests, and after a request that failed.
    pub fn authority_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls.authority = Some(Secret::File(file.into()));
        self.tls()
    }

    /// The client certificate and its key, both in PEM. Defaults to none.
    pub fn certificate(mut self, pem: impl Into<String>, key: impl Into<String>) -> Self {
        self.tls.certificate = Some([Secret::Text(pem.into()), Secret::Text(key.into())]);
        self.tls()
    }

    /// As [`certificate`](Self::certificate), in two files. They are read again as an
    /// [`authority_file`](Self::authority_file) is, so a certificate that is renewed needs no new handle.
    pub fn certificate_files(mut self, pem: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.certificate = Some([Secret::File(pem.into()), Secret::File(key.into())]);
        self.tls()
    }

    /// The name that the certificates of the nodes state. Defaults to the host of each node's address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self.tls()
    }

    /// A client of `nodes`. It sends no request.
    pub(super) fn client(self, nodes: &[String]) -> Result<Client> {
        require_runtime()?;
        let default = [DEFAULT_NODE.to_owned()];
        let nodes = if nodes.is_empty() { &default } else { nodes };
        let endpoints = nodes.iter().map(|node| self.endpoint(node)).collect::<Result<_>>()?;
        let connections = Connections::new(endpoints, self.tls).map_err(unusable)?;
        let user =
            self.user.map(|(name, secret)| Ok(User { name, password: Password::new(secret)? }));
        let user = user.transpose().map_err(|error| unusable(Unusable::File(error)))?;
        Ok(Client::new(connections, user))
    }

    /// How a node is reached, without the certificates.
    fn endpoint(&self, node: &str) -> Result<Endpoint> {
        let scheme = if self.encrypted { "https" } else { "http" };
        let url = if node.contains("://") { node.to_owned() } else { format!("{scheme}://{node}") };
        // What stands before the address may be a password.
        let shown = node.rsplit_once('@').map_or(node, |(_, address)| address);
        let refused = |bound| Error::invalid("node", shown, bound);
        if shown != node {
            return Err(refused(
                "a user and a password in a node have no effect. Pass them to `EtcdOptions::user`",
            ));
        }
        let unusable = || refused("a node is HOST:PORT, http://HOST:PORT or https://HOST:PORT");
        let endpoint = Endpoint::from_shared(url).map_err(|_| unusable())?;
        match (endpoint.uri().scheme_str(), endpoint.uri().port()) {
            (Some("http"), Some(_)) if self.encrypted => {
                return Err(refused("with certificates, a node must not begin with http://"));
            }
            (Some("http" | "https"), Some(_))
                if endpoint.uri().path_and_query().is_none_or(|path| path == "/") => {}
            _ => return Err(unusable()),
        }
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT))
    }
}

fn unusable(error: Unusable) -> Error {
    let reason = match &error {
        Unusable::File(error) => {
            format!("a file cannot be read: {error}. Check the path and its permissions")
        }
        _ => "the certificates or the key cannot be used. Each is a text in PEM".into(),
    };
    Error::Config { backend: BACKEND, reason, source: Some(Arc::new(error) as Cause) }
}

/// Without password and key.
impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("tls", &self.encrypted)
            .field("server_name", &self.tls.server_name)
            .finish_non_exhaustive()
    }
}
