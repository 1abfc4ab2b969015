//! The connections to the nodes: up to three each, which are opened by their first request.
//!
//! - One serves requests.
//! - One is spare. A connection can break without a reset, as behind a load balancer that moves or a firewall that forgets
//!   it. That is noticed after 15 s, when short locks are lost. A request that follows one without an answer goes
//!   elsewhere, and where there is no other node, this is the other connection.
//! - One serves watches. A server may limit the streams of a connection, and each watch is a stream that does not end.
//!
//! They are made again when the file of a certificate was replaced.
//!
//! A connection that is open outlives its certificate. The next one would not, so a certificate that is renewed, as
//! cert-manager does, must be in use before that. Requests under way go on with the connection that they have.

use std::{io, sync::Mutex, time::Duration};

use tokio::runtime;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

use super::secret::Secret;
use crate::util::{
    clock::{Clock, Moment},
    mutex::lock,
};

/// How often files are read, while there are requests. They are read at once after a request that failed.
const FILE_AGE: Duration = Duration::from_secs(10);

/// How many connections for requests there are to each node.
const LANES: usize = 2;

/// What stands before a certificate in PEM.
const CERTIFICATE: &str = "BEGIN CERTIFICATE";

/// The encryption of connections.
#[derive(Clone, Default)]
pub(super) struct Tls {
    /// In PEM. `None`: those that the system trusts.
    pub(super) authority: Option<Secret>,
    /// A client certificate and its key, in PEM.
    pub(super) certificate: Option<[Secret; 2]>,
    pub(super) server_name: Option<String>,
}

/// The connections to one node.
struct Node {
    /// The node's address, with the encryption.
    endpoint: Endpoint,
    /// Those for requests.
    requests: [Channel; LANES],
    watches: Channel,
}

/// The texts of a [`Tls`], as they were read last.
#[derive(Clone, PartialEq, Eq)]
struct Texts {
    authority: Option<String>,
    certificate: Option<[String; 2]>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("the authority has no line with `{CERTIFICATE}`")]
    NoCertificate,
    #[error(transparent)]
    Tls(#[from] Error),
}

/// The connections to each node. There is at least one node.
pub(super) struct Connections {
    endpoints: Vec<Endpoint>,
    tls: Tls,
    /// The connections have tasks on it.
    runtime: runtime::Handle,
    state: Mutex<State>,
}

struct State {
    texts: Texts,
    nodes: Vec<Node>,
    read_again_at: Moment,
    /// The files could not be used when they were read last.
    broken: bool,
}

impl Connections {
    /// Those to `endpoints`. Opens none of them.
    pub(super) fn new(endpoints: Vec<Endpoint>, tls: Tls) -> Result<Self, Unusable> {
        let texts = tls.read()?;
        let nodes = tls.connect(&endpoints, &texts)?;
        let read_again_at = tls.read_again_at();
        let state = State { texts, nodes, read_again_at, broken: false };
        let runtime = runtime::Handle::current();
        Ok(Self { endpoints, tls, runtime, state: Mutex::new(state) })
    }

    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// The runtime on which the connections have tasks.
    pub(super) const fn runtime(&self) -> &runtime::Handle {
        &self.runtime
    }

    /// How many turns requests have: each node once with each of its connections, and one node after the other.
    pub(super) fn turns(&self) -> usize {
        self.len() * LANES
    }

    /// Replaces the connection for requests of this turn by one that is opened by its next request.
    pub(super) fn renew(&self, turn: usize) {
        let (node, lane) = self.place(turn);
        let node = &mut lock(&self.state).nodes[node];
        let _runtime = self.runtime.enter();
        node.requests[lane] = node.endpoint.connect_lazy();
    }

    /// The node of this turn, and which of its connections for requests.
    fn place(&self, turn: usize) -> (usize, usize) {
        (turn % self.len(), turn / self.len())
    }

    /// The connection for requests of this turn.
    pub(super) fn requests(&self, turn: usize) -> Channel {
        let (node, lane) = self.place(turn);
        self.with(|nodes| nodes[node].requests[lane].clone())
    }

    /// The connection for watches to the node of this turn.
    pub(super) fn watches(&self, turn: usize) -> Channel {
        let (node, _) = self.place(turn);
        self.with(|nodes| nodes[node].watches.clone())
    }

    fn with<T>(&self, choose: impl FnOnce(&[Node]) -> T) -> T {
        let mut state = lock(&self.state);
        if state.read_again_at <= Clock::Host.now() {
            state.read_again_at = self.tls.read_again_at();
            let was_broken = state.broken;
            let replaced = self.replaced(&state.texts);
            state.broken = replaced.is_err();
            match replaced {
                Ok(Some((texts, nodes))) => (state.texts, state.nodes) = (texts, nodes),
                // As while files are being replaced. The present ones may serve for a while.
                Err(error) if !was_broken => {
                    tracing::warn!("the certificates for etcd cannot be used: {error}");
                }
                Ok(None) | Err(_) => {}
            }
        }
        choose(&state.nodes)
    }

    /// A request has failed: the files are read before the next request.
    pub(super) fn failed(&self) {
        if self.tls.has_files() {
            lock(&self.state).read_again_at = Clock::Host.now();
        }
    }

    fn replaced(&self, present: &Texts) -> Result<Option<(Texts, Vec<Node>)>, Unusable> {
        let texts = self.tls.read()?;
        if texts == *present {
            return Ok(None);
        }
        let _runtime = self.runtime.enter();
        let nodes = self.tls.connect(&self.endpoints, &texts)?;
        Ok(Some((texts, nodes)))
    }
}

impl Tls {
    fn has_files(&self) -> bool {
        self.authority.iter().chain(self.certificate.iter().flatten()).any(Secret::is_file)
    }

    fn read_again_at(&self) -> Moment {
        if self.has_files() { Clock::Host.now() + FILE_AGE } else { Moment::NEVER }
    }

    fn read(&self) -> io::Result<Texts> {
        let authority = self.authority.as_ref().map(Secret::read).transpose()?;
        let certificate = match &self.certificate {
            Some([certificate, key]) => Some([certificate.read()?, key.read()?]),
            None => None,
        };
        Ok(Texts { authority, certificate })
    }

    /// Connections that are opened by their first request.
    fn connect(&self, endpoints: &[Endpoint], texts: &Texts) -> Result<Vec<Node>, Unusable> {
        let connect = |endpoint: &Endpoint| {
            let endpoint = self.endpoint(endpoint, texts)?;
            let requests = [(); LANES].map(|()| endpoint.connect_lazy());
            let watches = endpoint.connect_lazy();
            Ok(Node { endpoint, requests, watches })
        };
        endpoints.iter().map(connect).collect()
    }

    /// `endpoint` with encryption, if its address begins with `https`.
    fn endpoint(&self, endpoint: &Endpoint, texts: &Texts) -> Result<Endpoint, Unusable> {
        let endpoint = endpoint.clone();
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        Ok(endpoint.tls_config(self.config(texts)?)?)
    }

    fn config(&self, texts: &Texts) -> Result<ClientTlsConfig, Unusable> {
        let mut config = match &texts.authority {
            // Otherwise no certificate would be trusted, and each connection would fail.
            Some(pem) if !pem.contains(CERTIFICATE) => return Err(Unusable::NoCertificate),
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some([pem, key]) = &texts.certificate {
            config = config.identity(Identity::from_pem(pem, key));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use leasehold_test_support::authority;

    use super::*;

    #[tokio::test]
    async fn certificates_are_read_again_when_a_node_has_failed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let set = |(certificate, key): (String, String)| {
            fs::write(path("tls.crt"), certificate).unwrap();
            fs::write(path("tls.key"), key).unwrap();
        };
        set(authority("client"));
        let certificate = ["tls.crt", "tls.key"].map(|name| Secret::File(path(name)));
        let authority_of_nodes = Some(Secret::Text(authority("node").0));
        let certificate = Some(certificate);
        let tls = Tls { authority: authority_of_nodes, certificate, server_name: None };
        let endpoints = vec![Endpoint::from_static("https://localhost:2379")];
        let connections = Connections::new(endpoints, tls).unwrap();
        let used = || lock(&connections.state).texts.clone();
        let first = used();

        set(authority("client"));
        drop(connections.requests(0));
        assert!(used() == first, "not at each request");
        connections.failed();
        drop(connections.requests(0));
        let second = used();
        assert!(second != first);

        fs::write(path("tls.key"), "half of a").unwrap();
        connections.failed();
        drop(connections.requests(0));
        assert!(used() == second, "what cannot be used is ignored");
    }
}
