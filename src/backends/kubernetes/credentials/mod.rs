//! Credentials that change while the client lives: those of a plugin (`exec` in a kubeconfig), of a token file, and of
//! the files of a client certificate.
//!
//! kube runs a plugin inside the request that needs its credential. A renewal that is given up then ends the plugin,
//! the next one starts it again, and no request passes in the meantime. Here a task of its own fetches credentials, one
//! at a time. Requests use the present credential until there is another one. If the server refuses it, a request waits
//! for the next one and is sent once more.
//!
//! | module | contents |
//! |---|---|
//! | `source` | where credentials come from |
//! | `credential` | what a credential consists of, and how a request gets it |
//! | `plugin`, `process` | the protocol of a plugin; its process |
//! | `fetcher` | the task, and when it fetches |

mod credential;
mod fetcher;
mod plugin;
mod process;
mod source;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use kube::{Client, Config, client::Body};
use tower::{BoxError, Service};

use self::fetcher::Fetcher;
pub(super) use self::source::Source;
use crate::api::error::Result;

/// Builds a client from a configuration without a source of credentials.
pub(super) type Transport = fn(Config) -> Result<Client>;

/// Why there is no credential. Its text contains no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(Arc<str>);

impl Failure {
    fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string().into())
    }
}

/// The credentials of one client. The task that fetches them ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Credentials(Arc<Fetcher>);

impl Credentials {
    /// A client that adds the credentials of `source` to its requests. Starts the task, but fetches nothing yet.
    pub(super) fn client(
        source: Source,
        config: Config,
        transport: Transport,
    ) -> Result<(Client, Self)> {
        let namespace = config.default_namespace.clone();
        let credentials = Self(Arc::new(Fetcher::start(source, config, transport)?));
        Ok((Client::new(credentials.clone(), namespace), credentials))
    }

    /// Waits until there is a credential, or an attempt to fetch one has failed.
    pub(super) async fn ready(&self) -> Result<(), Failure> {
        self.0.current().await.map(drop)
    }
}

impl Service<Request<Body>> for Credentials {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fetcher = Arc::clone(&self.0);
        Box::pin(async move {
            let again = copy(&request);
            let credential = fetcher.current().await?;
            let response = credential.send(request).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                fetcher.accepted(&credential);
                return Ok(response);
            }
            let Some(again) = again else { return Ok(response) };
            // The server authenticates before anything else, so it has done nothing.
            Ok(fetcher.replacement(&credential).await?.send(again).await?)
        })
    }
}

/// The same request, if its body can be sent twice. All bodies of this crate can.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests measure pauses")]
mod tests;
