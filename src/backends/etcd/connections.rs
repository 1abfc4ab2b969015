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

use std::{
    io,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

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
    open: Open,
    read_again_at: Moment,
    /// The files could not be used when they were read last.
    broken: bool,
}

/// What was made of the files when they were read last.
struct Open {
    texts: Texts,
    /// The address of each node, with the encryption.
    endpoints: Vec<Endpoint>,
    /// The connection for requests of each turn.
    requests: Vec<Channel>,
    /// The connection for watches to each node.
    watches: Vec<Channel>,
}

impl Connections {
    /// Those to `endpoints`. Opens none of them.
    pub(super) fn new(endpoints: Vec<Endpoint>, tls: Tls) -> Result<Self, Unusable> {
        let open = tls.open(&endpoints, tls.read()?)?;
        let state = State { open, read_again_at: tls.read_again_at(), broken: false };
        let runtime = runtime::Handle::current();
        Ok(Self { endpoints, tls, runtime, state: Mutex::new(state) })
    }

    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// How many turns requests have: each node once with each of its connections, and one node after the other.
    pub(super) fn turns(&self) -> usize {
        self.len() * LANES
    }

    /// Replaces the connection for requests of this turn by one that is opened by its next request.
    pub(super) fn renew(&self, turn: usize) {
        let open = &mut lock(&self.state).open;
        let _runtime = self.runtime.enter();
        open.requests[turn] = open.endpoints[turn % self.len()].connect_lazy();
    }

    /// The connection for requests of this turn.
    pub(super) fn requests(&self, turn: usize) -> Channel {
        self.present().open.requests[turn].clone()
    }

    /// The connection for watches to the node of this turn.
    pub(super) fn watches(&self, turn: usize) -> Channel {
        self.present().open.watches[turn % self.len()].clone()
    }

    /// The connections, with files that were read a short time ago.
    fn present(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        if state.read_again_at <= Clock::Host.now() {
            state.read_again_at = self.tls.read_again_at();
            let replaced = self.replaced(&state.open.texts);
            let was_broken = std::mem::replace(&mut state.broken, replaced.is_err());
            match replaced {
                Ok(Some(open)) => state.open = open,
                // As while files are being replaced. The present ones may serve for a while.
                Err(error) if !was_broken => {
                    tracing::warn!("the certificates for etcd cannot be used: {error}");
                }
                Ok(None) | Err(_) => {}
            }
        }
        state
    }

    /// A request has failed: the files are read before the next request.
    pub(super) fn failed(&self) {
        if self.tls.has_files() {
            lock(&self.state).read_again_at = Clock::Host.now();
        }
    }

    fn replaced(&self, present: &Texts) -> Result<Option<Open>, Unusable> {
        let texts = self.tls.read()?;
        let _runtime = self.runtime.enter();
        (texts != *present).then(|| self.tls.open(&self.endpoints, texts)).transpose()
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
    fn open(&self, endpoints: &[Endpoint], texts: Texts) -> Result<Open, Unusable> {
        let endpoints = endpoints.iter().map(|endpoint| self.endpoint(endpoint.clone(), &texts));
        let endpoints: Vec<_> = endpoints.collect::<Result<_, _>>()?;
        let each = || endpoints.iter().map(Endpoint::connect_lazy);
        let requests = (0..LANES).flat_map(|_| each()).collect();
        let watches = each().collect();
        Ok(Open { texts, endpoints, requests, watches })
    }

    /// `endpoint` with encryption, if its address begins with `https`.
    fn endpoint(&self, endpoint: Endpoint, texts: &Texts) -> Result<Endpoint, Unusable> {
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
        let used = || lock(&connections.state).open.texts.clone();
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
