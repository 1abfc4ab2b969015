//! The [`InspectStore`] on keys of etcd.

use futures::future::BoxFuture;

use super::{
    codec,
    keys::Place,
    store::{Deletion, Records, without_labels},
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

impl InspectStore for Records {
    fn describe(&self, found: &Versioned) -> Description {
        codec::describe(found)
    }

    fn session_infos<'a>(
        &'a self,
        scope: &'a SessionScope,
    ) -> BoxFuture<'a, Result<Vec<SessionInfo>>> {
        Box::pin(async move {
            let (namespace, keys) = match scope {
                SessionScope::One(namespace, id) => {
                    (Some(namespace), self.prefix.session(namespace, id))
                }
                SessionScope::All(namespace, labels) => {
                    without_labels(labels.as_deref())?;
                    let namespace = namespace.as_ref();
                    let all = || self.prefix.everything();
                    (namespace, namespace.map_or_else(all, |one| self.prefix.sessions(one)))
                }
            };
            let found = self.get(namespace, keys).await?;
            let sessions = found.iter().filter_map(|kv| match self.prefix.place(&kv.key)? {
                Place::Session(namespace, id) => codec::decode_session_info(&namespace, &id, kv),
                Place::Record(_) => None,
            });
            Ok(sessions.collect())
        })
    }

    fn release<'a>(
        &'a self,
        namespace: &'a Namespace,
        lease: &'a RecordName,
        found: &'a Versioned,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let keys = self.prefix.record(namespace, lease);
            let value = codec::encode_released(&found.whole);
            Ok(self.put(namespace, keys, Some(&found.version), value).await?.is_ok())
        })
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a Namespace,
        lease: &'a RecordName,
        version: &'a Version,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let keys = self.prefix.record(namespace, lease);
            Ok(self.delete(namespace, keys, version, None).await? == Deletion::Done)
        })
    }
}
