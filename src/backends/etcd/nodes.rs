//! The nodes of a cluster, and which of them gets a request.
//!
//! Requests go to one node as long as it answers. A node that does not answer at once loses its turn: later requests go
//! to the next node, and the request itself goes on. So the attempt after one that is over does not wait for the same
//! node. After the last node the first one has a turn again, with another connection, because the connection may be
//! the fault. A connection that was idle for long is opened again, because it may be dead too.
//!
//! A request that may be executed twice goes to the next node too while there is no answer: the authentication of the
//! user, for which all requests wait, and a request that only reads.

use std::{
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream::FuturesUnordered};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::{runtime, time::timeout};
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
use crate::util::{
    clock::{Clock, Moment},
    mutex::lock,
};

/// A node that has not answered for so long loses its turn. An answer on a network takes a few milliseconds. Every node
/// can serve every request, so a turn that is lost too early costs nothing.
pub(super) const SLOW: Duration = Duration::from_millis(250);

/// A connection without an answer for so long is opened again when its turn begins, and not again for as long.
const IDLE: Duration = Duration::from_secs(5);

/// A token that etcd gave for user and password.
pub(super) type Token = MetadataValue<Ascii>;

/// The nodes of a cluster. There is at least one.
pub(super) struct Nodes {
    connections: Connections,
    /// The turn of the next request: a number for each connection.
    current: AtomicUsize,
    /// Of a single node: when the first request after its last answer was sent.
    asked_at: Mutex<Option<Moment>>,
    /// When each connection for requests was answered or opened again last, by turn.
    used_at: Mutex<Vec<Moment>>,
}

impl Nodes {
    pub(super) fn new(connections: Connections) -> Self {
        let used_at = Mutex::new(vec![Moment::default(); connections.turns()]);
        let (current, asked_at) = (AtomicUsize::default(), Mutex::default());
        Self { connections, current, asked_at, used_at }
    }

    /// The runtime on which the connections have tasks.
    pub(super) const fn runtime(&self) -> &runtime::Handle {
        self.connections.runtime()
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
            let answer = self.send_to(self.next(), method, query, token).await;
            untried -= 1;
            match answer {
                Err(status) if untried > 0 && is_unsent(&status) => {}
                answer => return answer,
            }
        }
    }

    /// Sends a request that may be executed more than once. Whenever a node fails or has not answered after `patience`,
    /// the next node gets the request too, and each node gets it once. The first answer counts.
    pub(super) async fn send_to_several<Q, A>(
        &self,
        method: &'static str,
        query: &Q,
        token: Option<&Token>,
        patience: Duration,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let first = self.next();
        let (count, turns) = (self.connections.len(), self.connections.turns());
        let mut untried = (first..first + count).map(|turn| turn % turns);
        let mut calls = FuturesUnordered::new();
        loop {
            calls.extend(untried.next().map(|turn| self.send_to(turn, method, query, token)));
            let answered = if untried.len() == 0 {
                Ok(calls.select_next_some().await)
            } else {
                timeout(patience, calls.select_next_some()).await
            };
            let is_last = untried.len() == 0 && calls.is_empty();
            match answered {
                Ok(Err(status)) if !is_last && is_no_answer(&status) => {}
                Ok(answer) => return answer,
                Err(_slow) => {}
            }
        }
    }

    /// Sends one request in this turn, which is over if there is no answer at once.
    async fn send_to<Q, A>(
        &self,
        turn: usize,
        method: &'static str,
        query: &Q,
        token: Option<&Token>,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = grpc(self.connections.requests(turn));
        let request = request(query.clone(), token);
        let mut call = pin!(async {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let path = PathAndQuery::from_static(method);
            grpc.unary(request, path, ProstCodec::<Q, A>::default()).await
        });
        let answer = self.or_pass_over(turn, &mut call).await;
        if self.connections.len() == 1 {
            *lock(&self.asked_at) = None;
        }
        match &answer {
            Err(status) if is_unknown(status) => self.failed(turn, status),
            _ => lock(&self.used_at)[turn] = Clock::Runtime.now(),
        }
        answer.map(tonic::Response::into_inner)
    }

    /// Opens a stream of watches. Returns its turn too.
    pub(super) async fn watch(
        &self,
        requests: impl Stream<Item = WatchRequest> + Send + 'static,
        token: Option<&Token>,
    ) -> Result<(usize, Streaming<WatchResponse>), Status> {
        let turn = self.current();
        let mut grpc = grpc(self.connections.watches(turn));
        let mut opened = pin!(async {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
            grpc.streaming(request(requests, token), path, ProstCodec::default()).await
        });
        let opened = self.or_pass_over(turn, &mut opened).await;
        let opened = opened.inspect_err(|status| self.failed(turn, status));
        Ok((turn, opened?.into_inner()))
    }

    /// The answer to `call`. Ends the turn if there is none at once.
    async fn or_pass_over<T>(
        &self,
        turn: usize,
        call: &mut (impl Future<Output = T> + Unpin),
    ) -> T {
        // A timer that is earlier than all others costs a wake-up of the thread that waits for events. A single node
        // has none: see `next`.
        if self.connections.len() == 1 {
            return call.await;
        }
        if let Ok(answer) = timeout(SLOW, &mut *call).await {
            return answer;
        }
        self.pass_over(turn);
        call.await
    }

    /// A request of this turn failed: the next one goes elsewhere, unless the node has answered.
    pub(super) fn failed(&self, turn: usize, status: &Status) {
        if is_unknown(status) {
            self.pass_over(turn);
            self.connections.failed();
        }
    }

    /// Ends this turn, unless it is over already.
    fn pass_over(&self, turn: usize) {
        let next = (turn + 1) % self.connections.turns();
        let order = Ordering::Relaxed;
        if self.current.compare_exchange(turn, next, order, order).is_ok() {
            let (now, mut used_at) = (Clock::Runtime.now(), lock(&self.used_at));
            if now.since(used_at[next]) >= IDLE {
                used_at[next] = now;
                self.connections.renew(next);
            }
        }
    }

    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// The turn of the next request. A single node changes the connection if there was a request long before, and no
    /// answer since.
    fn next(&self) -> usize {
        if self.connections.len() == 1 {
            let (now, turn) = (Clock::Runtime.now(), self.current());
            let mut asked_at = lock(&self.asked_at);
            if now.since(*asked_at.get_or_insert(now)) >= SLOW {
                *asked_at = Some(now);
                self.pass_over(turn);
            }
        }
        self.current()
    }
}

fn grpc(connection: Channel) -> Grpc<Channel> {
    // A list may be of any size.
    Grpc::new(connection).max_decoding_message_size(usize::MAX)
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
