//! Tools for operators: list sessions, and end one.

use std::sync::Arc;

use super::{Inspector, RecordOptions};
use crate::{
    api::{
        error::{Error, Result},
        session::SessionInfo,
    },
    protocol::session::SessionId,
    runtime::session::end::{Ended, end_silent},
    store::{inspect::SessionScope, sessions::SessionStore},
};

impl Inspector {
    /// See [`Inspect::list_sessions`](crate::Inspect::list_sessions).
    pub(crate) async fn list_sessions(&self, options: RecordOptions) -> Result<Vec<SessionInfo>> {
        let RecordOptions { namespace, all_namespaces, label_selector, lease } = options;
        let namespace = self.handle.namespace(namespace.as_deref())?;
        label_selector.iter().try_for_each(|labels| self.store.check_labels(labels))?;
        let scope = match lease {
            Some(id) => SessionScope::One(namespace, parse(&id)?),
            None => SessionScope::All(
                (!all_namespaces).then_some(namespace),
                label_selector.map(Into::into),
            ),
        };
        self.in_time(self.store.session_infos(&scope)).await
    }

    /// See [`Inspect::end_session`](crate::Inspect::end_session).
    pub(crate) async fn end_session(&self, id: &str) -> Result<bool> {
        let (id, namespace) = (parse(id)?, self.handle.namespace(None)?);
        let clock = self.handle.options().clock;
        let store = Arc::clone(&self.store) as Arc<dyn SessionStore>;
        match end_silent(&store, &namespace, &id, clock).await? {
            Ended::Missing => Ok(false),
            Ended::Over => Ok(true),
            Ended::Alive => {
                let found = self.in_time(store.read_session(&namespace, &id)).await?;
                let identity = found.map(|found| found.record.identity.to_string());
                let holder = identity.unwrap_or_else(|| id.to_string());
                Err(Error::Held { name: id.to_string(), holder })
            }
        }
    }

    /// See [`Inspect::delete_session`](crate::Inspect::delete_session).
    pub(crate) async fn delete_session(&self, id: &str) -> Result<bool> {
        let (id, namespace) = (parse(id)?, self.handle.namespace(None)?);
        let mut uid = None;
        loop {
            let found = self.in_time(self.store.read_session(&namespace, &id)).await?;
            let Some(found) = found else { return Ok(uid.is_some()) };
            // Another record under this name is that of a process that waits for the end of the session.
            if *uid.get_or_insert_with(|| found.version.uid.clone()) != found.version.uid {
                return Ok(true);
            }
            // It has no effect if the session was renewed since it was read.
            self.in_time(self.store.delete_session(&namespace, &id, &found)).await?;
        }
    }
}

fn parse(id: &str) -> Result<SessionId> {
    SessionId::parse(id).ok_or_else(|| {
        Error::invalid("session", id, "the name of a session is like s15-k2j5q7w3x4y6z2a3b4c5")
    })
}
