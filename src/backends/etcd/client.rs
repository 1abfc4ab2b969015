//! A client of a cluster: the credentials that requests carry, and the requests in use.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{
    FutureExt as _, Stream,
    future::{BoxFuture, Shared, ready},
};
use tokio::{runtime, task::JoinSet};
use tonic::{Status, Streaming};

use super::{
    connections::Connections,
    error::is_about_token,
    messages::{
        AuthenticateRequest, AuthenticateResponse, Query, RangeRequest, RangeResponse, TxnRequest,
        TxnResponse, WatchRequest, WatchResponse,
    },
    nodes::{Nodes, SLOW, Token},
    secret::Password,
};
use crate::util::mutex::lock;

/// After so long without an answer, another node is asked to read the same. Longer than a node that is merely busy
/// takes, so that a busy cluster does not get more requests.
const PATIENCE: Duration = Duration::from_secs(1);

/// An authentication under way, or its result. All requests share it, because etcd computes a slow hash for each.
type Authentication = Shared<BoxFuture<'static, Result<Option<Token>, Status>>>;

/// The turn and the authentication of a stream of watches.
pub(super) struct Origin {
    pub(super) turn: usize,
    pub(super) authentication: Authentication,
}

/// A user, for authentication.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: Password,
}

/// A client of a cluster. A clone uses the same connections.
#[derive(Clone)]
pub(super) struct Client {
    nodes: Arc<Nodes>,
    user: Option<User>,
    /// That of the connections.
    runtime: runtime::Handle,
    authentication: Arc<Mutex<Option<Authentication>>>,
}

impl Client {
    pub(super) fn new(nodes: Connections, user: Option<User>) -> Self {
        let (nodes, runtime) = (Arc::new(Nodes::new(nodes)), runtime::Handle::current());
        Self { nodes, user, runtime, authentication: Arc::default() }
    }

    /// Reads a key or a range of keys, as it is now.
    pub(super) async fn range(&self, query: RangeRequest) -> Result<RangeResponse, Status> {
        self.send(&query, Some(PATIENCE)).await
    }

    /// Writes, on a condition.
    pub(super) async fn txn(&self, query: TxnRequest) -> Result<TxnResponse, Status> {
        self.send(&query, None).await
    }

    /// Reads several keys as they are at one time.
    pub(super) async fn read(&self, query: TxnRequest) -> Result<TxnResponse, Status> {
        self.send(&query, Some(PATIENCE)).await
    }

    /// Opens a stream of watches.
    pub(super) async fn watch(
        &self,
        requests: impl Stream<Item = WatchRequest> + Send + 'static,
    ) -> Result<(Origin, Streaming<WatchResponse>), Status> {
        let authentication = self.authentication();
        let token = authentication.clone().await?;
        let opened = self.nodes.watch(requests, token.as_ref()).await;
        let (turn, responses) =
            opened.inspect_err(|status| _ = self.forget(&authentication, status))?;
        Ok((Origin { turn, authentication }, responses))
    }

    /// A watch failed: the next one begins elsewhere, or with another token.
    pub(super) fn watch_failed(&self, origin: &Origin, status: &Status) {
        self.forget(&origin.authentication, status);
        self.nodes.failed(origin.turn, status);
    }

    async fn send<Q: Query>(
        &self,
        query: &Q,
        patience: Option<Duration>,
    ) -> Result<Q::Answer, Status> {
        let authentication = self.authentication();
        match self.send_with(&authentication, query, patience).await {
            // The request was refused, so it was not executed: it is sent once more with another token.
            Err(status) if self.forget(&authentication, &status) => {
                self.send_with(&self.authentication(), query, patience).await
            }
            answer => answer,
        }
    }

    async fn send_with<Q: Query>(
        &self,
        authentication: &Authentication,
        query: &Q,
        patience: Option<Duration>,
    ) -> Result<Q::Answer, Status> {
        let token = authentication.clone().await?;
        self.nodes.send(query, token.as_ref(), patience).await
    }

    /// The authentication that serves all requests, which is begun if there is none.
    fn authentication(&self) -> Authentication {
        let mut present = lock(&self.authentication);
        // One that failed serves those that wait for it, and no later request. It may have failed unseen, if nothing waits
        // for it any more.
        if let Some(authentication) = present.as_ref()
            && !matches!(authentication.clone().now_or_never(), Some(Err(_)))
        {
            return authentication.clone();
        }
        let authentication = match self.user.clone() {
            None => ready(Ok(None)).boxed(),
            Some(user) => {
                let nodes = Arc::clone(&self.nodes);
                // Its timers are those of the connections' runtime, because that of the caller may end.
                let mut task = JoinSet::new();
                task.spawn_on(async move { authenticate(&nodes, user).await }, &self.runtime);
                let ended = || Err(Status::unavailable("the runtime of the connections has ended"));
                let answer = async move { task.join_next().await.and_then(Result::ok) };
                answer.map(move |answer| answer.unwrap_or_else(ended)).boxed()
            }
        };
        let authentication = authentication.shared();
        *present = Some(authentication.clone());
        authentication
    }

    /// Forgets the token of `used` if `status` refuses it. Returns whether another one may help.
    fn forget(&self, used: &Authentication, status: &Status) -> bool {
        let refused = is_about_token(status) && self.user.is_some();
        let mut present = lock(&self.authentication);
        if refused && present.as_ref().is_some_and(|present| present.ptr_eq(used)) {
            *present = None;
        }
        refused
    }
}

/// The token of a user; `None` if etcd asks for none.
async fn authenticate(nodes: &Nodes, user: User) -> Result<Option<Token>, Status> {
    let User { name, password } = user;
    let query = AuthenticateRequest { name, password: password.text() };
    // All other requests wait for the token, so a node that hangs must not delay it. One token too many is harmless.
    let answer = nodes.send(&query, None, Some(SLOW)).await;
    match answer {
        Ok(AuthenticateResponse { token }) => {
            token.parse().map(Some).map_err(|_| Status::unknown("the token is not a text"))
        }
        Err(status) if status.message().contains("authentication is not enabled") => Ok(None),
        Err(status) => Err(status),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
