//! The nodes of a cluster, and which of them gets a request.
//!
//! Each node has one connection. Requests go to one node as long as it answers. A node that does not answer at once
//! loses its turn: later requests go to the next node, and the request itself goes on. So the attempt after one that is
//! over does not wait for the same node. All requests wait for the authentication of the user, so an authentication goes
//! to the next node too while there is no answer.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream::FuturesUnordered};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::timeout;
use tonic::{
    Code, ConnectError, Request, Status, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    connections::Connections,
    error::is_unknown,
    messages::{WatchRequest, WatchResponse},
};

/// A node that has not answered for so long loses its turn. An answer on a network takes a few milliseconds. Every node
/// can serve every request, so a turn that is lost too early costs nothing.
const SLOW: Duration = Duration::from_millis(250);

/// A token that etcd gave for user and password.
pub(super) type Token = MetadataValue<Ascii>;

/// The nodes of a cluster. There is at least one.
pub(super) struct Nodes {
    connections: Connections,
    /// The number of the node that gets the next request.
    current: AtomicUsize,
}

impl Nodes {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections, current: AtomicUsize::default() }
    }

    /// Sends one request: to another node if there is no connection to the first one.
    pub(super) async fn send<Q, A>(
        &self,
        method: &'static str,
        query: &Q,
        token: Option<&Token>,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut untried = self.connections.len();
        loop {
            let answer = self.send_to(self.current(), method, query, token).await;
            untried -= 1;
            match answer {
                Err(status) if untried > 0 && is_unsent(&status) => {}
                answer => return answer,
            }
        }
    }

    /// Sends a request that may be executed more than once. Whenever a node fails or does not answer at once, the next
    /// node gets the request too, and each node gets it once. The first answer counts.
    pub(super) async fn send_to_several<Q, A>(
        &self,
        method: &'static str,
        query: &Q,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let first = self.current();
        let count = self.connections.len();
        let mut untried = (first..first + count).map(|node| node % count);
        let mut calls = FuturesUnordered::new();
        loop {
            calls.extend(untried.next().map(|node| self.send_to(node, method, query, None)));
            let answered = if untried.len() == 0 {
                Ok(calls.select_next_some().await)
            } else {
                timeout(SLOW, calls.select_next_some()).await
            };
            let is_last = untried.len() == 0 && calls.is_empty();
            match answered {
                Ok(Err(status)) if !is_last && is_no_answer(&status) => {}
                Ok(answer) => return answer,
                Err(_slow) => {}
            }
        }
    }

    /// Sends one request to this node, which loses its turn if it does not answer at once.
    async fn send_to<Q, A>(
        &self,
        node: usize,
        method: &'static str,
        query: &Q,
        token: Option<&Token>,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc(node);
        let request = request(query.clone(), token);
        let mut call = pin!(async {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let path = PathAndQuery::from_static(method);
            grpc.unary(request, path, ProstCodec::<Q, A>::default()).await
        });
        // A single node keeps its turn. A timer that is earlier than all others would cost a wake-up of the thread
        // that waits for events.
        let answer = if self.connections.len() == 1 {
            call.await
        } else if let Ok(answer) = timeout(SLOW, &mut call).await {
            answer
        } else {
            self.pass_over(node);
            call.await
        };
        let answer = answer.inspect_err(|status| self.failed(node, status));
        answer.map(tonic::Response::into_inner)
    }

    /// Opens a stream of watches. Returns the number of its node too.
    pub(super) async fn watch(
        &self,
        requests: impl Stream<Item = WatchRequest> + Send + 'static,
        token: Option<&Token>,
    ) -> Result<(usize, Streaming<WatchResponse>), Status> {
        let node = self.current();
        let mut grpc = self.grpc(node);
        let opened = async {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
            grpc.streaming(request(requests, token), path, ProstCodec::default()).await
        };
        let opened = opened.await.inspect_err(|status| self.failed(node, status));
        Ok((node, opened?.into_inner()))
    }

    /// A request at `node` failed: the next one goes elsewhere, unless the node has answered.
    pub(super) fn failed(&self, node: usize, status: &Status) {
        if is_unknown(status) {
            self.pass_over(node);
            self.connections.failed();
        }
    }

    /// Gives the turn of `node` to the next one, unless it has lost it already.
    pub(super) fn pass_over(&self, node: usize) {
        let next = (node + 1) % self.connections.len();
        let _ = self.current.compare_exchange(node, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    fn grpc(&self, node: usize) -> Grpc<Channel> {
        // A list may be of any size.
        Grpc::new(self.connections.get(node)).max_decoding_message_size(usize::MAX)
    }
}

fn request<Q>(query: Q, token: Option<&Token>) -> Request<Q> {
    let mut request = Request::new(query);
    let metadata = request.metadata_mut();
    // A node that has lost the others refuses at once, instead of answering late, or with silence.
    metadata.insert("hasleader", MetadataValue::from_static("true"));
    if let Some(token) = token {
        metadata.insert("token", token.clone());
    }
    request
}

/// Whether another node may answer. A precondition that is not met is an answer: authentication is not enabled.
fn is_no_answer(status: &Status) -> bool {
    is_unknown(status) && status.code() != Code::FailedPrecondition
}

/// Whether the request failed before it was sent, because there is no connection.
fn is_unsent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return status.code() == Code::Unavailable;
        }
        cause = error.source();
    }
    false
}
