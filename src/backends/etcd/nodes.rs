//! The nodes of a cluster, and which of them gets a request.
//!
//! Requests go to one node as long as it answers. A node that does not answer at once loses its turn: later requests go
//! to the next node, and the request itself goes on. So the attempt after one that is over does not wait for the same
//! node. After the last node the first one has a turn again, with another connection, because the connection may be
//! the fault. A connection that was idle for long is opened again, because it may be dead too.
//!
//! A request that may be executed twice goes to the next node too while there is no answer: the authentication of the
//! user, for which all requests wait, and a request that only reads.

use std::{error::Error as StdError, pin::pin, sync::Mutex, time::Duration};

use futures::{Stream, StreamExt as _, stream::FuturesUnordered};
use http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::{
    Code, ConnectError, Request, Response, Status, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    connections::Connections,
    error::{causes, is_unknown},
    messages::{Query, WatchRequest, WatchResponse},
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
    turns: Mutex<Turns>,
}

/// The turns: one for each connection for requests.
struct Turns {
    /// That of the next request.
    current: usize,
    /// Of a single node: when the first request after its last answer was sent.
    asked_at: Option<Moment>,
    /// When the connection of each turn was answered or opened again last.
    used_at: Vec<Moment>,
}

impl Nodes {
    pub(super) fn new(connections: Connections) -> Self {
        let used_at = vec![Moment::default(); connections.turns()];
        let turns = Mutex::new(Turns { current: 0, asked_at: None, used_at });
        Self { connections, turns }
    }

    /// Sends a request, to another node if there is no connection to the first one. Each node gets it once at most.
    ///
    /// With `patience`, it may be executed more than once: whenever a node fails or has not answered for so long, the next
    /// node gets it too. The first answer counts.
    pub(super) async fn send<Q: Query>(
        &self,
        query: &Q,
        token: Option<&Token>,
        patience: Option<Duration>,
    ) -> Result<Q::Answer, Status> {
        let first = self.next();
        let (count, turns) = (self.connections.len(), self.connections.turns());
        let mut untried = (first..first + count).map(|turn| turn % turns);
        let mut calls = FuturesUnordered::new();
        loop {
            calls.extend(untried.next().map(|turn| self.send_to(turn, query, token)));
            let answered = match patience.filter(|_| untried.len() > 0) {
                Some(patience) => timeout(patience, calls.select_next_some()).await.ok(),
                None => Some(calls.select_next_some().await),
            };
            let is_last = untried.len() == 0 && calls.is_empty();
            let may_go_on = |status: &Status| {
                !is_last && (is_unsent(status) || patience.is_some() && is_no_answer(status))
            };
            match answered {
                Some(Err(status)) if may_go_on(&status) => {}
                Some(answer) => return answer,
                None => {}
            }
        }
    }

    /// Sends a request in this turn, which is over if there is no answer at once.
    async fn send_to<Q: Query>(
        &self,
        turn: usize,
        query: &Q,
        token: Option<&Token>,
    ) -> Result<Q::Answer, Status> {
        let (connection, request) =
            (self.connections.requests(turn), request(query.clone(), token));
        let call = async {
            let codec = ProstCodec::<Q, Q::Answer>::default();
            ready(connection).await?.unary(request, PathAndQuery::from_static(Q::CALL), codec).await
        };
        let answer = self.or_pass_over(turn, call).await;
        let answered = !matches!(&answer, Err(status) if is_unknown(status));
        {
            let mut turns = lock(&self.turns);
            turns.asked_at = None;
            if answered {
                turns.used_at[turn] = Clock::Runtime.now();
            }
        }
        answer.map(Response::into_inner).inspect_err(|status| self.failed(turn, status))
    }

    /// Opens a stream of watches. Returns its turn too.
    pub(super) async fn watch(
        &self,
        requests: impl Stream<Item = WatchRequest> + Send + 'static,
        token: Option<&Token>,
    ) -> Result<(usize, Streaming<WatchResponse>), Status> {
        let turn = lock(&self.turns).current;
        let (connection, request) = (self.connections.watches(turn), request(requests, token));
        let opened = async {
            let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
            ready(connection).await?.streaming(request, path, ProstCodec::default()).await
        };
        let opened = self.or_pass_over(turn, opened).await;
        let opened = opened.inspect_err(|status| self.failed(turn, status))?;
        Ok((turn, opened.into_inner()))
    }

    /// The answer to `call`. Ends the turn if there is none at once.
    async fn or_pass_over<T>(&self, turn: usize, call: impl Future<Output = T>) -> T {
        // A timer that is earlier than all others costs a wake-up of the thread that waits for events. A single node
        // has none: see `next`.
        if self.connections.len() == 1 {
            return call.await;
        }
        let mut call = pin!(call);
        if let Ok(answer) = timeout(SLOW, &mut call).await {
            return answer;
        }
        lock(&self.turns).pass_over(turn, &self.connections);
        call.await
    }

    /// A request of this turn failed: the next one goes elsewhere, unless the node has answered.
    pub(super) fn failed(&self, turn: usize, status: &Status) {
        if is_unknown(status) {
            lock(&self.turns).pass_over(turn, &self.connections);
            self.connections.failed();
        }
    }

    /// The turn of the next request. A single node changes the connection if there was a request long before, and no
    /// answer since.
    fn next(&self) -> usize {
        let (now, mut turns) = (Clock::Runtime.now(), lock(&self.turns));
        if self.connections.len() == 1 && now.since(*turns.asked_at.get_or_insert(now)) >= SLOW {
            turns.asked_at = Some(now);
            let current = turns.current;
            turns.pass_over(current, &self.connections);
        }
        turns.current
    }
}

impl Turns {
    /// Ends this turn, unless it is over already.
    fn pass_over(&mut self, turn: usize, connections: &Connections) {
        let next = (turn + 1) % self.used_at.len();
        if self.current == turn {
            self.current = next;
            let now = Clock::Runtime.now();
            if now.since(self.used_at[next]) >= IDLE {
                self.used_at[next] = now;
                connections.renew(next);
            }
        }
    }
}

async fn ready(connection: Channel) -> Result<Grpc<Channel>, Status> {
    // A list may be of any size.
    let mut grpc = Grpc::new(connection).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    Ok(grpc)
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
    status.code() == Code::Unavailable && causes(status).any(<dyn StdError>::is::<ConnectError>)
}
