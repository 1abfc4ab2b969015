//! The [`InspectStore`] on Lease objects.

use futures::future::BoxFuture;

use super::{
    codec,
    error::RequestFailure,
    http::{Selection, delete_version},
    sessions::{self, Address},
    store::Leases,
};
use crate::{
    api::{
        error::Result,
        name::{Namespace, RecordName},
        session::SessionInfo,
    },
    protocol::record::{Version, Versioned},
    store::inspect::{Description, InspectStore, SessionScope},
};

impl InspectStore for Leases {
    fn describe(&self, found: &Versioned) -> Description {
        Description {
            acquired_ago: codec::acquired_ago(found),
            queue: sessions::codec::queue(found),
        }
    }

    fn session_infos<'a>(
        &'a self,
        scope: &'a SessionScope,
    ) -> BoxFuture<'a, Result<Vec<SessionInfo>>> {
        Box::pin(async move {
            let (namespace, labels) = match scope {
                SessionScope::One(namespace, id) => {
                    let found = self.get(&Address { namespace, lease: id.as_str() }).await?;
                    let found = found.as_ref().and_then(sessions::codec::session_info);
                    return Ok(found.into_iter().collect());
                }
                SessionScope::All(namespace, labels) => (namespace.clone(), labels),
            };
            let own = sessions::codec::session_label();
            let labels = labels.as_ref().map_or(own.clone(), |labels| format!("{own},{labels}"));
            let selection = Selection::Labelled(namespace, labels);
            let decode = |object| sessions::codec::session_info(&object);
            let (found, _) = self.http.list_objects(&selection, decode).await?;
            Ok(found)
        })
    }

    fn release<'a>(
        &'a self,
        namespace: &'a Namespace,
        lease: &'a RecordName,
        found: &'a Versioned,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let address = Address { namespace, lease: lease.as_str() };
            // The object contains the version in which it was read, so the write is conditional on that version.
            let object = codec::released(&found.whole);
            Ok(self.put(&address, false, &object).await?.is_some())
        })
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a Namespace,
        lease: &'a RecordName,
        version: &'a Version,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let address = Address { namespace, lease: lease.as_str() };
            let context = address.context("delete");
            let request = delete_version(namespace, lease.as_str(), version);
            match self.http.send(request, &context).await {
                Ok(_) => Ok(true),
                Err(RequestFailure::Conflict | RequestFailure::NotFound) => Ok(false),
                Err(other) => Err(other.into_error(&context)),
            }
        })
    }
}
