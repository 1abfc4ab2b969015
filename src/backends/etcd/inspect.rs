//! The [`InspectStore`] on keys of etcd.

use futures::future::BoxFuture;

use super::{
    codec,
    store::{Deletion, Records},
};
use crate::{
    api::{
        error::{Error, Result},
        name::{Namespace, RecordName},
        session::SessionInfo,
    },
    protocol::record::{Version, Versioned},
    store::inspect::{Description, InspectStore, SessionScope},
};

impl InspectStore for Records {
    fn check_labels(&self, selector: &str) -> Result<()> {
        Err(Error::invalid("label selector", selector, "records in etcd have no labels"))
    }

    fn describe(&self, found: &Versioned) -> Description {
        codec::describe(found)
    }

    fn session_infos<'a>(
        &'a self,
        scope: &'a SessionScope,
    ) -> BoxFuture<'a, Result<Vec<SessionInfo>>> {
        Box::pin(async move {
            let prefix = &self.cluster.prefix;
            let keys = match scope {
                SessionScope::One(namespace, id) => prefix.session(namespace, id),
                SessionScope::All(namespace, _) => prefix.sessions(namespace.as_ref()),
            };
            self.cluster.sessions(&keys, codec::decode_session_info).await
        })
    }

    fn release<'a>(
        &'a self,
        namespace: &'a Namespace,
        lease: &'a RecordName,
        found: &'a Versioned,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let keys = self.cluster.prefix.record(namespace, lease);
            let value = codec::encode_released(&found.whole);
            Ok(self.cluster.put(&keys, Some(&found.version), value).await?.is_ok())
        })
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a Namespace,
        lease: &'a RecordName,
        version: &'a Version,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let keys = self.cluster.prefix.record(namespace, lease);
            Ok(self.cluster.delete(&keys, version, None).await? == Deletion::Done)
        })
    }
}
