//! The requests of one session, and what their answers mean to the machines.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::{
    api::{
        error::{Error, Result},
        name::{Namespace, RecordName},
    },
    protocol::{
        queue::{
            machine::{Failure, Outcome},
            record::{Join, LockRecord, LockWrite, StoredLock},
        },
        session::{SessionAnswer, SessionId, SessionRecord, Stored},
    },
    runtime::attempt::{answered, no_answer},
    store::{
        RecordKey,
        sessions::{Cursor, HeldPage, NamedSession, Put, SessionStore},
    },
};

/// What a request returned.
pub(super) enum Answer {
    Read(RecordName, Result<Option<Arc<StoredLock>>>),
    Write(RecordName, Result<Put<LockRecord>>),
    Observed(SessionId, SessionAnswer),
    Listed(Result<HeldPage>),
    Stale(Result<Vec<NamedSession>>),
    /// The record of an old session was deleted, or not.
    Collected,
}

/// A request about a session.
pub(super) enum SessionRequest {
    Read,
    Create(SessionRecord),
    Replace(Arc<Stored<SessionRecord>>, SessionRecord),
}

/// Sends requests. Each one ends by itself after a limit.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) store: Arc<dyn SessionStore>,
    /// The namespace of the locks.
    pub(super) namespace: Namespace,
    /// The namespace of the sessions.
    pub(super) sessions: Namespace,
    /// The limit of each request. No deadline depends on it: only heartbeats must arrive in time.
    pub(super) limit: Duration,
}

impl Sender {
    pub(super) fn read_lock(&self, key: Arc<RecordKey>) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        Box::pin(async move {
            let result = this.within(this.store.read_lock(&key)).await;
            Answer::Read(key.record.clone(), result)
        })
    }

    pub(super) fn write_lock(
        &self,
        key: Arc<RecordKey>,
        write: LockWrite,
    ) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        Box::pin(async move {
            let result = this.within(this.store.write_lock(&key, &write)).await;
            Answer::Write(key.record.clone(), result)
        })
    }

    pub(super) fn join_lock(&self, key: Arc<RecordKey>, join: Join) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        Box::pin(async move {
            let result = this.within(this.store.join_lock(&key, &join)).await;
            Answer::Write(key.record.clone(), result)
        })
    }

    /// The record of a lock, for people.
    pub(super) async fn found(&self, key: &RecordKey) -> Result<Option<Arc<StoredLock>>> {
        self.within(self.store.read_lock(key)).await
    }

    /// One page of the list of the records that `session` holds.
    pub(super) fn list(
        &self,
        session: SessionId,
        cursor: Option<Cursor>,
    ) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        Box::pin(async move {
            let list = this.store.list_held(&this.namespace, &session, cursor.as_ref());
            Answer::Listed(this.within(list).await)
        })
    }

    pub(super) fn list_stale(&self, age: Duration) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        Box::pin(async move {
            let list = this.store.list_stale(&this.sessions, age);
            Answer::Stale(this.within(list).await)
        })
    }

    /// Deletes the record of a session that was ended.
    pub(super) fn delete(
        &self,
        id: SessionId,
        ended: Arc<Stored<SessionRecord>>,
    ) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        Box::pin(async move {
            let delete = this.store.delete_session(&this.sessions, &id, &ended);
            if let Err(error) = this.within(delete).await {
                tracing::debug!(session = %id, %error, "could not delete an old session");
            }
            Answer::Collected
        })
    }

    pub(super) fn observe(
        &self,
        id: SessionId,
        request: SessionRequest,
    ) -> BoxFuture<'static, Answer> {
        let this = self.clone();
        Box::pin(async move {
            let (answer, error) = this.session(&id, request, this.limit).await;
            if let Some(error) = error {
                tracing::debug!(session = %id, %error, "could not observe a session");
            }
            Answer::Observed(id, answer)
        })
    }

    /// A request about a session, its answer, and the error if it failed.
    pub(super) async fn session(
        &self,
        id: &SessionId,
        request: SessionRequest,
        limit: Duration,
    ) -> (SessionAnswer, Option<Error>) {
        let (store, namespace) = (&self.store, &self.sessions);
        let put = |put| match put {
            Put::Stored(stored) => SessionAnswer::Written(stored),
            Put::Conflict(_) => SessionAnswer::Conflict,
            Put::PatchRefused(..) => SessionAnswer::Failed,
        };
        let answer = async {
            match &request {
                SessionRequest::Read => {
                    store.read_session(namespace, id).await.map(SessionAnswer::Found)
                }
                SessionRequest::Create(record) => {
                    store.write_session(namespace, id, None, record).await.map(put)
                }
                SessionRequest::Replace(base, record) => {
                    store.write_session(namespace, id, Some(base), record).await.map(put)
                }
            }
        };
        match answered(&*self.store, limit, answer).await {
            Ok(answer) => (answer, None),
            Err(error) => (SessionAnswer::Failed, Some(error)),
        }
    }

    async fn within<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        answered(&*self.store, self.limit, request).await
    }

    /// The backend stored something else than was written.
    pub(super) fn altered(&self, key: &RecordKey) -> Error {
        let reason = format!("it stored something else than was written: {}", self.store.suspect());
        Error::Rejected { backend: self.store.backend(), name: key.name.to_string(), reason }
    }

    pub(super) fn no_answer(&self, limit: Duration) -> Error {
        no_answer(self.store.backend(), limit)
    }
}

/// What the machine of a lock learns from an answer to its write.
pub(super) fn outcome(result: &Result<Put<LockRecord>>) -> Outcome {
    match result {
        Ok(Put::Stored(stored)) => Outcome::Stored(Arc::clone(stored)),
        Ok(Put::Conflict(_)) => Outcome::Conflict,
        Ok(Put::PatchRefused(_, error)) | Err(error) => Outcome::Failed(failure(error)),
    }
}

pub(super) fn failure(error: &Error) -> Failure {
    let retry_after = match error {
        Error::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    };
    Failure { refused: !error.is_transient(), retry_after }
}
