//! The [`Store`] on Lease objects.

use std::sync::Arc;

use futures::{future::BoxFuture, stream::BoxStream};
use kube::{
    Client,
    api::{GetParams, PostParams},
};

use super::{
    BACKEND, SUSPECT,
    codec::{self, Extras},
    error::{RequestContext, RequestFailure},
    http::{Http, LEASES, Selection, delete_version, leases},
    names::LeaseNames,
    permissions,
};
use crate::{
    api::{
        error::Result,
        name::{Namespace, RecordName},
    },
    protocol::record::{Versioned, Write, WriteKind},
    runtime::watches::Watches,
    store::{Entry, ListedSession, RecordKey, Scope, Store, WatchEvent, Written, names::Names},
};

/// The Leases of a cluster. Each call is one attempt; the caller sets the timeout.
#[derive(Debug)]
pub(super) struct Leases {
    pub(super) http: Http,
    pub(super) extras: Extras,
    names: Arc<dyn Names>,
    watches: Watches,
}

impl Leases {
    pub(super) fn new(client: Client, extras: Extras, names: LeaseNames) -> Self {
        let names = Arc::new(names);
        Self { http: Http(client.clone()), extras, names, watches: Watches::new(Http(client)) }
    }

    async fn delete(&self, key: &RecordKey, write: &Write) -> Result<Written> {
        let context = context("delete", key);
        let Some(base) = &write.base else { return Ok(Written::Gone) };
        let request = delete_version(&key.namespace, key.record.as_str(), &base.version);
        match self.http.send(request, &context).await {
            Ok(_) | Err(RequestFailure::NotFound) => Ok(Written::Gone),
            Err(RequestFailure::Conflict) => Ok(Written::Conflict),
            Err(other) => Err(other.into_error(&context)),
        }
    }

    /// The record of one Lease, if there is one. It is not listed, because a Role may permit no more than to get it.
    async fn one(&self, namespace: &Namespace, lease: &RecordName) -> Result<Vec<Entry>> {
        let context = context_of("get", namespace, lease);
        let request = leases(Some(namespace)).get(lease.as_str(), &GetParams::default());
        match self.http.send(request, &context).await {
            Ok(object) => Ok(vec![codec::decode_entry(&object)?]),
            Err(RequestFailure::NotFound) => Ok(Vec::new()),
            Err(other) => Err(other.into_error(&context)),
        }
    }
}

impl Store for Leases {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn suspect(&self) -> &'static str {
        SUSPECT
    }

    fn names(&self) -> &Arc<dyn Names> {
        &self.names
    }

    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(permissions::check(&self.http, namespace, &self.extras))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        Box::pin(async move {
            let context = context("get", key);
            let request =
                leases(Some(&key.namespace)).get(key.record.as_str(), &GetParams::default());
            match self.http.send(request, &context).await {
                Ok(object) => {
                    codec::decode_response(key, &object).map(|found| Some(Arc::new(found)))
                }
                Err(RequestFailure::NotFound) => Ok(None),
                Err(other) => Err(other.into_error(&context)),
            }
        })
    }

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            if write.kind == WriteKind::Delete {
                return self.delete(key, write).await;
            }
            let object = codec::encode(key, write, &self.extras);
            let object = serde_json::to_vec(&object).unwrap_or_default();
            let (leases, params) = (leases(Some(&key.namespace)), PostParams::default());
            let (request, context) = match &write.base {
                None => (leases.create(&params, object), context("create", key)),
                Some(_) => {
                    (leases.replace(key.record.as_str(), &params, object), context("update", key))
                }
            };
            match self.http.send(request, &context).await {
                Ok(mut object) => {
                    if write.base.is_none() {
                        codec::untrack_created(&mut object);
                    }
                    codec::decode_response(key, &object)
                        .map(|found| Written::Stored(Arc::new(found)))
                }
                // 404 to an update: the object that the write was conditional on was deleted.
                Err(RequestFailure::Conflict | RequestFailure::NotFound) => Ok(Written::Conflict),
                Err(other) => Err(other.into_error(&context)),
            }
        })
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        Box::pin(async move {
            if let Scope::Record(namespace, lease) = scope {
                return self.one(namespace, lease).await;
            }
            let (entries, _) = self.http.list(&Selection::Scope(scope.clone()), None).await?;
            Ok(entries)
        })
    }

    fn list_sessions<'a>(
        &'a self,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<Vec<ListedSession>>> {
        Box::pin(self.listed_sessions(namespace))
    }

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        self.watches.subscribe(scope)
    }

    fn doubt(&self, scope: &Scope) {
        self.watches.restart(scope);
    }
}

fn context<'a>(verb: &'static str, key: &'a RecordKey) -> RequestContext<'a> {
    context_of(verb, &key.namespace, &key.record)
}

fn context_of<'a>(
    verb: &'static str,
    namespace: &'a Namespace,
    lease: &'a RecordName,
) -> RequestContext<'a> {
    RequestContext {
        verb,
        resource: LEASES,
        name: Some(lease.as_str()),
        namespace: namespace.as_str(),
    }
}
