//! A client of a cluster: the credentials that requests carry, and the requests in use.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use futures::{
    FutureExt as _, Stream,
    future::{BoxFuture, Shared},
};
use prost::Message;
use tonic::{Status, Streaming};

use super::{
    connections::Connections,
    error::is_about_token,
    messages::{
        AuthenticateRequest, AuthenticateResponse, RangeRequest, RangeResponse, TxnRequest,
        TxnResponse, WatchRequest, WatchResponse,
    },
    nodes::{Nodes, Token},
    secret::Secret,
};
use crate::util::mutex::lock;

/// An authentication under way, or its result. All requests share it, because etcd computes a slow hash for each.
type Authentication = Shared<BoxFuture<'static, Result<Option<Token>, Status>>>;

/// A user, for authentication.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: Secret,
}

/// A client of a cluster. A clone uses the same connections.
#[derive(Clone)]
pub(super) struct Client {
    nodes: Arc<Nodes>,
    user: Option<User>,
    authentication: Arc<Mutex<Option<Authentication>>>,
}

impl Client {
    pub(super) fn new(nodes: Connections, user: Option<User>) -> Self {
        Self { nodes: Arc::new(Nodes::new(nodes)), user, authentication: Arc::default() }
    }

    /// Reads a key or a range of keys, as it is now.
    pub(super) async fn range(&self, query: RangeRequest) -> Result<RangeResponse, Status> {
        self.send("/etcdserverpb.KV/Range", &query).await
    }

    /// Writes, on a condition.
    pub(super) async fn txn(&self, query: TxnRequest) -> Result<TxnResponse, Status> {
        self.send("/etcdserverpb.KV/Txn", &query).await
    }

    /// Opens a stream of watches. Returns the number of its node too.
    pub(super) async fn watch(
        &self,
        requests: impl Stream<Item = WatchRequest> + Send + 'static,
    ) -> Result<(usize, Streaming<WatchResponse>), Status> {
        let authentication = self.authentication();
        let token = authentication.clone().await?;
        let opened = self.nodes.watch(requests, token.as_ref()).await;
        opened.inspect_err(|status| _ = self.forget(&authentication, status))
    }

    /// A watch at `node` failed: the next one begins elsewhere, or with another token.
    pub(super) fn watch_failed(&self, node: usize, status: &Status) {
        self.forget(&self.authentication(), status);
        self.nodes.failed(node, status);
    }

    async fn send<Q, A>(&self, method: &'static str, query: &Q) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let authentication = self.authentication();
        let token = authentication.clone().await?;
        match self.nodes.send(method, query, token.as_ref()).await {
            // The request was refused, so it was not executed: it is sent once more with another token.
            Err(status) if self.forget(&authentication, &status) => {
                let token = self.authentication().await?;
                self.nodes.send(method, query, token.as_ref()).await
            }
            answer => answer,
        }
    }

    /// The authentication that serves all requests, which is begun if there is none.
    fn authentication(&self) -> Authentication {
        let mut present = lock(&self.authentication);
        // One that failed serves those that wait for it, and no later request.
        if let Some(authentication) = present.as_ref()
            && !matches!(authentication.peek(), Some(Err(_)))
        {
            return authentication.clone();
        }
        let (nodes, user) = (Arc::clone(&self.nodes), self.user.clone());
        let authentication = async move { authenticate(&nodes, user).await }.boxed().shared();
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

/// The token of `user`; `None` if there is no user, or if etcd asks for none.
async fn authenticate(nodes: &Nodes, user: Option<User>) -> Result<Option<Token>, Status> {
    let Some(User { name, password }) = user else { return Ok(None) };
    let mut text = password.read().map_err(|error| Status::from_error(Box::new(error)))?;
    if password.is_file() {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    let query = AuthenticateRequest { name, password: text };
    // All other requests wait for the token, so a node that hangs must not delay it. One token too many is harmless.
    let answer = nodes.send_to_several("/etcdserverpb.Auth/Authenticate", &query).await;
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
