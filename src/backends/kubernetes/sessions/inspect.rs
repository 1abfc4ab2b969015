//! Tools for operators: list sessions, and end one.

use std::{sync::Arc, time::Duration};

use kube::api::GetParams;
use serde_json::Value;

use super::{
    super::{
        Kubernetes, RecordOptions,
        codec::decode,
        error::{RequestContext, RequestFailure},
        http::{LEASES, Selection, delete_version, leases, name},
    },
    codec::{decode_session, session_label},
};
use crate::{
    api::{
        error::{Error, Result},
        name::Namespace,
    },
    protocol::session::SessionId,
    runtime::session::end::{Ended, end_silent},
};

/// A session, as its Lease describes it.
///
/// It is for people and dashboards. This crate makes no decision from it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The name of the session, which is that of its Lease and the holder of its locks.
    pub id: String,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The identity of its process.
    pub identity: String,
    /// How long other processes must see no heartbeat before they may end it.
    pub ttl: Duration,
    /// The time since the last heartbeat, from the wall clocks of its process and of this one. `None` if the record has
    /// no such time.
    pub renewed_ago: Option<Duration>,
    /// It was ended, and cannot be renewed any more.
    pub is_over: bool,
}

impl SessionInfo {
    fn decode(object: &Value) -> Option<Self> {
        let id = SessionId::parse(name(object))?;
        let found = decode_session(&id, object).ok()?;
        Some(Self {
            id: id.to_string(),
            namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().into(),
            identity: found.record.identity.to_string(),
            ttl: id.ttl(),
            renewed_ago: decode(object).ok()?.age,
            is_over: found.record.is_over(),
        })
    }

    /// Whether the session was renewed within its time to live, by the wall clocks of its process and of this one.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.is_over && self.renewed_ago.is_some_and(|ago| ago <= self.ttl)
    }
}

impl Kubernetes {
    /// Lists the sessions that `options` select. A label selector restricts them further, and `lease` is the name of one
    /// session, which needs only the verb `get` on that Lease.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if an option cannot be used, and the errors of the API server.
    pub async fn list_sessions(&self, options: RecordOptions) -> Result<Vec<SessionInfo>> {
        let namespace = self.handle.namespace(options.namespace.as_deref())?;
        let mut found = Vec::new();
        if let Some(lease) = &options.lease {
            let id = parse(lease)?;
            found.extend(self.read_session(&namespace, &id).await?);
            return Ok(found);
        }
        let labels = match &options.label_selector {
            None => session_label(),
            Some(labels) => format!("{},{labels}", session_label()),
        };
        let namespace = (!options.all_namespaces).then_some(namespace);
        let selection = Selection::Labelled(namespace, labels);
        self.http
            .list_objects(&selection, |object| found.extend(SessionInfo::decode(&object)))
            .await?;
        Ok(found)
    }

    async fn read_session(
        &self,
        namespace: &Namespace,
        id: &SessionId,
    ) -> Result<Option<SessionInfo>> {
        let context = context("get", id, namespace);
        let request = leases(Some(namespace)).get(id.as_str(), &GetParams::default());
        match self.send_in_time(request, &context).await? {
            Ok(object) => Ok(SessionInfo::decode(&object)),
            Err(RequestFailure::NotFound) => Ok(None),
            Err(other) => Err(other.into_error(&context)),
        }
    }

    /// Ends a session whose process does not renew it any more, in the namespace of this handle. Its locks go on to the
    /// next in their queues. Returns false if there is no such session.
    ///
    /// **Safe.** It waits until the session was unchanged for its whole time to live on the clock of this process, as
    /// every process that waits for one of its locks does.
    ///
    /// # Errors
    ///
    /// [`Error::Held`] if the session is renewed, and the errors of the API server.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may be over.
    pub async fn end_session(&self, id: &str) -> Result<bool> {
        let (id, namespace) = (parse(id)?, self.handle.namespace(None)?);
        let clock = self.handle.options().clock;
        match end_silent(&Arc::clone(&self.sessions), &namespace, &id, clock).await? {
            Ended::Missing => Ok(false),
            Ended::Over => Ok(true),
            Ended::Alive => {
                let found = self.read_session(&namespace, &id).await?;
                let holder = found.map_or_else(|| id.to_string(), |found| found.identity);
                Err(Error::Held { name: id.to_string(), holder })
            }
        }
    }

    /// Deletes the Lease of a session, also of one that is renewed, in the namespace of this handle. Returns false if
    /// there is none.
    ///
    /// **Safe.** Its process loses the session and all its locks at its next heartbeat, within a third of the time to
    /// live. No other process gets one of them before the session was missing for its time to live.
    ///
    /// # Errors
    ///
    /// The errors of the API server.
    pub async fn delete_session(&self, id: &str) -> Result<bool> {
        let (id, namespace) = (parse(id)?, self.handle.namespace(None)?);
        loop {
            let get = context("get", &id, &namespace);
            let request = leases(Some(&namespace)).get(id.as_str(), &GetParams::default());
            let object = match self.send_in_time(request, &get).await? {
                Ok(object) => object,
                Err(RequestFailure::NotFound) => return Ok(false),
                Err(other) => return Err(other.into_error(&get)),
            };
            let found = decode_session(&id, &object)?;
            let delete = context("delete", &id, &namespace);
            let request = delete_version(&namespace, id.as_str(), &found.version);
            match self.send_in_time(request, &delete).await? {
                Ok(_) => return Ok(true),
                Err(RequestFailure::NotFound) => return Ok(false),
                // Renewed since it was read.
                Err(RequestFailure::Conflict) => {}
                Err(other) => return Err(other.into_error(&delete)),
            }
        }
    }
}

fn parse(id: &str) -> Result<SessionId> {
    SessionId::parse(id).ok_or_else(|| {
        Error::invalid("session", id, "the name of a session is like s15-k2j5q7w3x4y6z2a3b4c5")
    })
}

fn context<'a>(
    verb: &'static str,
    id: &'a SessionId,
    namespace: &'a Namespace,
) -> RequestContext<'a> {
    RequestContext {
        verb,
        resource: LEASES,
        name: Some(id.as_str()),
        namespace: namespace.as_str(),
    }
}
