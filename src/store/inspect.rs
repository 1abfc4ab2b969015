//! What a backend must do for the tools of operators, besides [`Store`](super::Store) and [`SessionStore`].

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::sessions::SessionStore;
use crate::{
    api::{
        error::Result,
        name::{Namespace, RecordName},
        session::SessionInfo,
    },
    protocol::{
        queue::record::LockRecord,
        record::{Version, Versioned},
        session::SessionId,
    },
};

/// What a record says to people only.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// The time since the tenure began, by wall clocks.
    pub(crate) acquired_ago: Option<Duration>,
    /// The claims of sessions in it, if there is or was one.
    pub(crate) queue: Option<LockRecord>,
}

/// The sessions to list.
#[derive(Clone, Debug)]
pub(crate) enum SessionScope {
    One(Namespace, SessionId),
    /// The sessions of a namespace, or of all, which a label selector can restrict.
    All(
        Option<Namespace>,
        #[cfg_attr(
            not(feature = "kubernetes"),
            expect(dead_code, reason = "records in etcd have no labels")
        )]
        Option<Arc<str>>,
    ),
}

/// A store that operators can inspect. The rules of [`Store`](super::Store) apply.
pub(crate) trait InspectStore: SessionStore {
    /// Refuses a label selector, if records have no labels.
    fn check_labels(&self, _selector: &str) -> Result<()> {
        Ok(())
    }

    /// What the record says besides what every store knows of it.
    fn describe(&self, found: &Versioned) -> Description;

    /// Lists sessions.
    fn session_infos<'a>(
        &'a self,
        scope: &'a SessionScope,
    ) -> BoxFuture<'a, Result<Vec<SessionInfo>>>;

    /// Writes the record without its holder, and without the time before which no other tenure may begin, if it is
    /// exactly `found`. Returns whether it was.
    fn release<'a>(
        &'a self,
        namespace: &'a Namespace,
        record: &'a RecordName,
        found: &'a Versioned,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Deletes the record if it is exactly in this version. Returns whether it was.
    fn delete<'a>(
        &'a self,
        namespace: &'a Namespace,
        record: &'a RecordName,
        version: &'a Version,
    ) -> BoxFuture<'a, Result<bool>>;
}
