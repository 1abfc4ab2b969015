//! The [`SessionStore`] on keys of etcd.
//!
//! Sessions are records with a heartbeat, as in the other backends, and no leases of etcd: so the guarantees are the
//! same. A lease of etcd ends by the clock of etcd, and a change of its leader extends it, which no holder can judge.

use std::{future::ready, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};

use super::{
    codec,
    held::Index,
    held_watch::HeldWatch,
    store::Records,
    watch::{Report, reports, watch},
};
use crate::{
    api::{error::Result, name::Namespace},
    protocol::{
        queue::record::{LockRecord, LockWrite, StoredLock},
        session::{SessionId, SessionRecord, Stored},
    },
    store::{
        RecordKey,
        sessions::{Cursor, HeldEvent, HeldPage, NamedSession, Put, SessionStore},
    },
};

impl SessionStore for Records {
    fn read_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
    ) -> BoxFuture<'a, Result<Option<Arc<Stored<SessionRecord>>>>> {
        Box::pin(async move {
            let found = self.cluster.get(&self.cluster.prefix.session(namespace, id)).await?;
            found.first().map(|kv| Ok(Arc::new(codec::decode_session(kv)?.session()))).transpose()
        })
    }

    fn write_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: Option<&'a Stored<SessionRecord>>,
        record: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Put<SessionRecord>>> {
        Box::pin(async move {
            let keys = self.cluster.prefix.session(namespace, id);
            let value = codec::encode_session(id, base, record);
            Ok(match self.cluster.put(&keys, base.map(|base| &base.version), value).await? {
                Ok(stored) => Put::Stored(Arc::new(stored.session())),
                Err(found) => Put::Conflict(found.map(|found| Arc::new(found.session()))),
            })
        })
    }

    fn list_stale<'a>(
        &'a self,
        namespace: &'a Namespace,
        age: Duration,
    ) -> BoxFuture<'a, Result<Vec<NamedSession>>> {
        Box::pin(async move {
            let keys = self.cluster.prefix.sessions(Some(namespace));
            self.cluster.sessions(&keys, |_, id, kv| codec::decode_stale(id, kv, age)).await
        })
    }

    fn delete_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: &'a Stored<SessionRecord>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let keys = self.cluster.prefix.session(namespace, id);
            // One that is deleted by force still reads its index.
            let index = base.record.is_over().then(|| self.cluster.prefix.held(namespace, id));
            self.cluster.delete(&keys, &base.version, index).await.map(drop)
        })
    }

    fn read_lock<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Arc<StoredLock>>>> {
        Box::pin(async move {
            let found = self.cluster.get(&self.cluster.prefix.of(key)).await?;
            found.first().map(|kv| Ok(Arc::new(codec::decode(kv)?.lock()))).transpose()
        })
    }

    fn write_lock<'a>(
        &'a self,
        key: &'a RecordKey,
        write: &'a LockWrite,
    ) -> BoxFuture<'a, Result<Put<LockRecord>>> {
        Box::pin(async move {
            let (keys, value) = (self.cluster.prefix.of(key), codec::encode_lock(key, write));
            let base = write.base.as_ref().map(|base| &base.version);
            Ok(match self.cluster.put(&keys, base, value).await? {
                Ok(stored) => Put::Stored(Arc::new(stored.lock())),
                Err(found) => Put::Conflict(found.map(|found| Arc::new(found.lock()))),
            })
        })
    }

    fn list_held<'a>(
        &'a self,
        namespace: &'a Namespace,
        session: &'a SessionId,
        cursor: Option<&'a Cursor>,
    ) -> BoxFuture<'a, Result<HeldPage>> {
        Box::pin(async move { Index::new(&self.cluster, namespace, session).page(cursor).await })
    }

    fn watch_held(
        &self,
        namespace: &Namespace,
        session: &SessionId,
    ) -> BoxStream<'static, HeldEvent> {
        let index = Index::new(&self.cluster, namespace, session);
        reports(self.cluster.client.clone(), HeldWatch::new(index))
    }

    fn watch_lock(&self, key: &RecordKey) -> BoxStream<'static, HeldEvent> {
        let reports = watch(self.cluster.client.clone(), self.cluster.prefix.of(key));
        reports.filter_map(|report| ready(lock_event(report))).boxed()
    }
}

/// The event of a watch of one lock, whichever session holds it.
fn lock_event(report: Report) -> Option<HeldEvent> {
    let event = match report {
        Report::All(found) => {
            return Some(HeldEvent::All(found.iter().filter_map(codec::decode_held).collect()));
        }
        Report::Blind(error) => return Some(HeldEvent::Blind(error)),
        Report::Change(event) => event,
    };
    let kv = event.kv.as_ref()?;
    if !event.is_deletion() {
        return codec::decode_held(kv).map(HeldEvent::Set);
    }
    Some(HeldEvent::Gone(codec::record_name(kv), codec::number(kv.mod_revision)?))
}
