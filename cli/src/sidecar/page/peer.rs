//! The sidecar of the leader, if the leader is another process.

use std::{str::FromStr, time::Duration};

use axum::body::Body;
use http::{Method, Request, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use super::hosts::HostName;

/// Time limit of the answer. It is long, because the command of the leader has to end first.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest answer that is forwarded, in bytes.
const LONGEST: usize = 4096;

/// The URL of the leader's sidecar, for example a Service that selects pods by the label of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer(Uri);

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "write it like http://billing-leader:8080";
        let uri: Uri = text.parse().map_err(|_| HELP)?;
        let plain = uri.scheme_str() == Some("http") && uri.host().is_some() && uri.path() == "/";
        if !plain || uri.query().is_some() {
            return Err(HELP);
        }
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("/resign"));
        Uri::from_parts(parts).map(Self).map_err(|_| HELP)
    }
}

impl Peer {
    /// The name of the leader's sidecar, if it is no IP address. Requests for the leader have it, so it is a name of
    /// this server while this process leads.
    pub(crate) fn host_name(&self) -> Option<HostName> {
        self.0.host()?.parse().ok()
    }

    /// Forwards a request to resign, and returns the answer.
    pub(super) async fn resign(&self) -> Result<String, String> {
        let unreachable =
            |why: String| format!("the leader could not be reached at {}: {why}", self.0);
        let client = Client::builder(TokioExecutor::new()).build::<_, Body>(HttpConnector::new());
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.0)
            // Forwarded once only: two processes that take each other for the leader must not loop.
            .header("x-leasehold", "passed on")
            .body(Body::empty())
            .map_err(|error| unreachable(error.to_string()))?;
        let forwarded = async {
            let answer = client.request(request).await.map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                cause.unwrap_or_else(|| error.to_string())
            })?;
            let well = answer.status().is_success();
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            let line = String::from_utf8_lossy(&body).trim().to_owned();
            Ok(if well { Ok(line) } else { Err(line) })
        };
        match timeout(LIMIT, forwarded).await {
            Ok(answer) => answer.map_err(unreachable)?,
            Err(_) => Err(unreachable(format!("no answer within {LIMIT:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_plain_http_url() {
        let url = |text: &str| text.parse::<Peer>().map(|peer| peer.0.to_string());

        assert_eq!(url("http://leader:8080"), Ok("http://leader:8080/resign".into()));
        assert_eq!(url("http://10.0.0.7/"), Ok("http://10.0.0.7/resign".into()));
        for wrong in
            ["leader:8080", "https://leader", "http://leader/x", "http://a/?b", "", "http://"]
        {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
