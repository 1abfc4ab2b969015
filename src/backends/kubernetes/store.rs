//! The [`Store`] on Lease objects.

use std::sync::Arc;

use futures::{future::BoxFuture, stream::BoxStream};
use kube::{
    Client,
    api::{DeleteParams, GetParams, PostParams, Preconditions},
};

use super::{
    BACKEND,
    codec::{self, Pod},
    error::{RequestContext, RequestFailure},
    http::{Http, LEASES, leases},
    permissions,
    shared_watch::SharedWatches,
};
use crate::{
    api::{error::Result, name::Namespace},
    protocol::record::{Versioned, Write, WriteKind},
    store::{Entry, Kind, RecordKey, Scope, Store, WatchEvent, Written},
};

/// The Leases of a cluster. Each call is one attempt; the caller sets the timeout.
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
        let params = DeleteParams::default().preconditions(Preconditions {
            resource_version: Some(base.version.number.to_string()),
            uid: Some(base.version.uid.to_string()),
        });
        let request = leases(Some(&key.namespace)).delete(key.lease.as_str(), &params);
        match self.http.send(request, &context).await {
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
            let request =
                leases(Some(&key.namespace)).get(key.lease.as_str(), &GetParams::default());
            match self.http.send(request, &context).await {
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
            let object = codec::encode(key, write, self.pod.as_ref()).to_string().into_bytes();
            let (leases, params) = (leases(Some(&key.namespace)), PostParams::default());
            let (request, context) = match &write.base {
                None => (leases.create(&params, object), context("create", key)),
                Some(_) => {
                    (leases.replace(key.lease.as_str(), &params, object), context("update", key))
                }
            };
            match self.http.send(request, &context).await {
                Ok(object) => codec::decode_response(key, object)
                    .map(|found| Written::Stored(Arc::new(found))),
                // 404 to an update: the object that the write was conditional on was deleted.
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
