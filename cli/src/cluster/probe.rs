//! Whether an API server or etcd is there, while no request of a lock or an election has succeeded yet.

use std::{io, time::Duration};

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use leasehold::{Error, Sync as _};
use tokio::time::timeout;

use crate::{backend::Backend, cluster::connect::Connection};

/// Time limit of one probe.
const PROBE: Duration = Duration::from_secs(3);
/// What every API server with Leases serves to every user that it knows.
const LEASE_API: &str = "/apis/coordination.k8s.io/v1";
/// The longest part of an answer that an error shows.
const SHOWN: usize = 200;

/// The result of a probe.
#[derive(Debug)]
pub(crate) enum Presence {
    /// The server works on requests, or refuses them for a reason that it states.
    Present,
    /// No answer, or an answer that says that the server cannot work now.
    Absent(Error),
    /// Something else answers, or an API server without Leases.
    Foreign(Error),
}

impl Connection {
    /// Sends the requests that show whether locks and elections are possible.
    pub(crate) async fn probe(&self) -> Presence {
        let error = match timeout(PROBE, self.sync.init()).await {
            Ok(Err(error @ Error::Unavailable { .. })) => error,
            Ok(_) => return Presence::Present,
            Err(_) => return Presence::Absent(self.backend().no_answer()),
        };
        match self.foreign_answer().await {
            Some(answer) => {
                Presence::Foreign(Backend::Kubernetes.unavailable(io::Error::other(answer)))
            }
            None => Presence::Absent(error),
        }
    }

    /// Whether the API server says that it is ready. A server that starts may refuse requests before it has loaded its
    /// roles, also this request. A server that does not accept the credentials answers 401 to everything, so a 401
    /// does not mean that the server is not ready.
    ///
    /// etcd refuses nothing before it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let Some(client) = self.client() else { return true };
        let answer = timeout(PROBE, get(&client, "/readyz")).await.ok().flatten();
        answer.is_some_and(|(code, _)| matches!(code, StatusCode::OK | StatusCode::UNAUTHORIZED))
    }

    /// The answer of a server that is no API server with Leases, as a text. Another server than etcd gives no usable
    /// answer to its requests.
    async fn foreign_answer(&self) -> Option<String> {
        let client = self.client()?;
        let (code, start) = timeout(PROBE, get(&client, LEASE_API)).await.ok().flatten()?;
        let is_object = start.trim_ascii_start().starts_with(b"{");
        let is_foreign = code.is_redirection()
            || code == StatusCode::NOT_FOUND
            || (code.is_success() && !is_object);
        let text = String::from_utf8_lossy(&start);
        let line: String =
            text.trim().lines().next().unwrap_or_default().chars().take(SHOWN).collect();
        let content = if line.is_empty() { "an empty body".into() } else { format!("`{line}`") };
        is_foreign.then(|| {
            format!(
                "not an API server, or one without Leases: the answer to GET {LEASE_API} is status {} with {content}",
                code.as_u16()
            )
        })
    }
}

/// The status and the start of the body.
async fn get(client: &Client, path: &str) -> Option<(StatusCode, Vec<u8>)> {
    let request = Request::get(path).body(Body::empty()).ok()?;
    let mut answer = client.send(request).await.ok()?;
    let mut start = Vec::new();
    while start.trim_ascii().is_empty() {
        let Some(frame) = answer.body_mut().frame().await else { break };
        start.extend_from_slice(frame.ok()?.data_ref().map_or(&[][..], |data| data));
    }
    Some((answer.status(), start))
}
