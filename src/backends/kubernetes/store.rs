//! Lease objects as a [`Store`].

use std::sync::Arc;

use futures::{future::BoxFuture, stream::BoxStream};
use http::Method;
use kube::Client;
use serde_json::json;

use super::{
    BACKEND,
    codec::{self, Pod},
    error::{RequestContext, RequestFailure},
    http::{Http, LEASES, path},
    permissions,
    shared_watch::SharedWatches,
};
use crate::{
    api::{error::Result, name::Namespace},
    protocol::record::{Versioned, Write, WriteKind},
    store::{Entry, Kind, RecordKey, Scope, Store, WatchEvent, Written},
};

/// One attempt for each call, whatever comes of it; the caller has the timeouts.
#[derive(Debug)]
pub(super) struct Leases {
    http: Http,
    pod: Option<Pod>,
    watches: SharedWatches,
}

impl Leases {
    pub(super) fn new(client: Client, pod: Option<Pod>) -> Self {
        Self { http: Http(client.clone()), pod, watches: SharedWatches::new(Http(client)) }
    }

    async fn delete(&self, key: &RecordKey, write: &Write) -> Result<Written> {
        let context = context("delete", key);
        let Some(base) = &write.base else { return Ok(Written::Gone) };
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "resourceVersion": base.version.number.to_string(), "uid": &*base.version.uid },
        });
        match self
            .http
            .send(Method::DELETE, &path(&key.namespace, Some(&key.lease)), Some(&body), &context)
            .await
        {
            Ok(_) | Err(RequestFailure::NotFound) => Ok(Written::Gone),
            Err(RequestFailure::Conflict) => Ok(Written::Conflict),
            Err(other) => Err(other.into_error(&context)),
        }
    }
}

impl Store for Leases {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(permissions::check(&self.http, namespace))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        Box::pin(async move {
            let context = context("get", key);
            match self
                .http
                .send(Method::GET, &path(&key.namespace, Some(&key.lease)), None, &context)
                .await
            {
                Ok(object) => {
                    codec::decode_response(key, object).map(|found| Some(Arc::new(found)))
                }
                Err(RequestFailure::NotFound) => Ok(None),
                Err(other) => Err(other.into_error(&context)),
            }
        })
    }

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            if write.kind == WriteKind::Free && matches!(key.kind, Kind::Candidate(_)) {
                return self.delete(key, write).await;
            }
            let object = codec::encode(key, write, self.pod.as_ref());
            let (method, path, context) = match &write.base {
                None => (Method::POST, path(&key.namespace, None), context("create", key)),
                Some(_) => {
                    (Method::PUT, path(&key.namespace, Some(&key.lease)), context("update", key))
                }
            };
            match self.http.send(method, &path, Some(&object), &context).await {
                Ok(object) => codec::decode_response(key, object)
                    .map(|found| Written::Stored(Arc::new(found))),
                // The object that the write was conditional on has gone.
                Err(RequestFailure::Conflict | RequestFailure::NotFound) => Ok(Written::Conflict),
                Err(other) => Err(other.into_error(&context)),
            }
        })
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        Box::pin(async move {
            let (entries, _) = self.http.list(scope).await?;
            Ok(entries)
        })
    }

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        self.watches.subscribe(scope)
    }

    fn doubt(&self, scope: &Scope) {
        self.watches.restart(scope);
    }
}

fn context<'a>(verb: &'static str, key: &'a RecordKey) -> RequestContext<'a> {
    RequestContext {
        verb,
        resource: LEASES,
        name: Some(key.lease.as_str()),
        namespace: key.namespace.as_str(),
    }
}
