//! Lease objects as a [`Store`].

use std::sync::Arc;

use futures::{future::BoxFuture, stream::BoxStream};
use http::Method;
use kube::Client;
use serde_json::json;

use super::{
    BACKEND,
    codec::{self, Pod},
    error::{Asked, Failed},
    http::{Api, LEASES, path},
    permissions,
    shared_watch::Watches,
};
use crate::{
    api::{error::Result, name::Namespace},
    protocol::record::{Versioned, Write, WriteKind},
    store::{Entry, Kind, RecordKey, Scope, Store, WatchEvent, Written},
};

/// One attempt for each call, whatever comes of it; the caller has the timeouts.
#[derive(Debug)]
pub(super) struct Leases {
    api: Api,
    pod: Option<Pod>,
    watches: Watches,
}

impl Leases {
    pub(super) fn new(client: Client, pod: Option<Pod>) -> Self {
        Self { api: Api(client.clone()), pod, watches: Watches::new(Api(client)) }
    }

    async fn delete(&self, key: &RecordKey, write: &Write) -> Result<Written> {
        let asked = asked("delete", key);
        let Some(base) = &write.base else { return Ok(Written::Gone) };
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "resourceVersion": base.version.number.to_string(), "uid": &*base.version.uid },
        });
        match self
            .api
            .send(Method::DELETE, &path(&key.namespace, Some(&key.lease)), Some(&body), &asked)
            .await
        {
            Ok(_) | Err(Failed::NotFound) => Ok(Written::Gone),
            Err(Failed::Conflict) => Ok(Written::Conflict),
            Err(other) => Err(other.into_error(&asked)),
        }
    }
}

impl Store for Leases {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(permissions::check(&self.api, namespace))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        Box::pin(async move {
            let asked = asked("get", key);
            match self
                .api
                .send(Method::GET, &path(&key.namespace, Some(&key.lease)), None, &asked)
                .await
            {
                Ok(object) => codec::answer(key, object).map(|found| Some(Arc::new(found))),
                Err(Failed::NotFound) => Ok(None),
                Err(other) => Err(other.into_error(&asked)),
            }
        })
    }

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            if write.kind == WriteKind::Free && matches!(key.kind, Kind::Candidate(_)) {
                return self.delete(key, write).await;
            }
            let object = codec::encode(key, write, self.pod.as_ref());
            let (method, path, asked) = match &write.base {
                None => (Method::POST, path(&key.namespace, None), asked("create", key)),
                Some(_) => {
                    (Method::PUT, path(&key.namespace, Some(&key.lease)), asked("update", key))
                }
            };
            match self.api.send(method, &path, Some(&object), &asked).await {
                Ok(object) => {
                    codec::answer(key, object).map(|found| Written::Stored(Arc::new(found)))
                }
                // The object that the write was conditional on has gone.
                Err(Failed::Conflict | Failed::NotFound) => Ok(Written::Conflict),
                Err(other) => Err(other.into_error(&asked)),
            }
        })
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        Box::pin(async move {
            let (entries, _) = self.api.list(scope).await?;
            Ok(entries)
        })
    }

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        self.watches.subscribe(scope)
    }

    fn doubt(&self, scope: &Scope) {
        self.watches.doubt(scope);
    }
}

fn asked<'a>(verb: &'static str, key: &'a RecordKey) -> Asked<'a> {
    Asked {
        verb,
        resource: LEASES,
        name: Some(key.lease.as_str()),
        namespace: key.namespace.as_str(),
    }
}
