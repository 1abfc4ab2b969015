//! What a backend must do so that sessions and their locks can run over it.

use std::{future::ready, num::NonZeroU64, sync::Arc, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};

use super::{Kind, RecordKey, Store};
use crate::{
    api::{
        error::{Error, Result},
        name::{Namespace, RecordName},
    },
    protocol::{
        queue::record::{Join, LockRecord, LockWrite, StoredLock},
        session::{SessionId, SessionRecord, Stored},
    },
};

/// The outcome of a conditional write, if it is known.
#[derive(Clone, Debug)]
pub(crate) enum Put<T> {
    /// The object as it is stored now.
    Stored(Arc<Stored<T>>),
    /// The object is not the one that the write was conditional on, or exists already. Nothing was written. The object as
    /// it was instead, if the backend says that.
    Conflict(Option<Arc<Stored<T>>>),
    /// The backend refuses to change parts of an object. Nothing was written, and a request that replaces the whole
    /// object may succeed.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "only an API server distinguishes such requests")
    )]
    PatchRefused(Patches, Error),
}

/// The requests to change parts of an object that a refusal of one of them concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "kubernetes"),
    expect(dead_code, reason = "only an API server distinguishes such requests")
)]
pub(crate) enum Patches {
    /// Those of this session: it lacks the right, or the server does not know such requests.
    All,
    /// Those of this record.
    OfRecord,
}

/// The record of a session, with its name.
pub(crate) type NamedSession = (SessionId, Arc<Stored<SessionRecord>>);

/// The record of a lock, with its names.
#[derive(Clone, Debug)]
pub(crate) struct HeldLock {
    pub(crate) record: RecordName,
    /// The name of the lock, as its caller wrote it.
    pub(crate) name: String,
    /// A lock or an election.
    pub(crate) kind: Kind,
    pub(crate) found: Arc<StoredLock>,
}

/// The longest list, in pages: half a million records.
const MAX_PAGES: u32 = 1000;

/// Where the next page of a list begins. Only the backend reads the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) place: String,
    /// How many pages are before it.
    pages: u32,
}

impl Cursor {
    /// The cursor after the page at `before`. `None` if that is not progress: a proxy may answer each request with the
    /// first page, and then a list has no end.
    #[cfg_attr(
        not(any(feature = "etcd", feature = "kubernetes")),
        expect(dead_code, reason = "a list in this process has one page")
    )]
    pub(crate) fn after(before: Option<&Self>, place: String) -> Option<Self> {
        let pages = before.map_or(0, |before| before.pages) + 1;
        let repeated = before.is_some_and(|before| before.place == place);
        (!repeated && pages < MAX_PAGES).then_some(Self { place, pages })
    }
}

/// A part of the list of the records that a session holds.
#[derive(Debug)]
pub(crate) enum HeldPage {
    /// Some of them. The list is complete, and proves the absence of others, when no cursor follows.
    Some(Vec<HeldLock>, Option<Cursor>),
    /// The list cannot continue, because the backend does not keep its state any more. The pages before prove no absence.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "only the pages of an API server expire")
    )]
    Expired,
}

/// An event of the watch of one session, about the records that the session holds; or of the watch of one record.
#[derive(Clone, Debug)]
pub(crate) enum HeldEvent {
    /// All of them.
    All(Vec<HeldLock>),
    /// Some of them, if there are too many for one event.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "only an API server lists in pages for a watch")
    )]
    Some(Vec<HeldLock>),
    /// The session holds this record, which has changed or is new.
    Set(HeldLock),
    /// The session does not hold this record any more since this version: another session does, or it was deleted.
    Gone(RecordName, NonZeroU64),
    /// The watch is interrupted, with the reason.
    #[cfg_attr(
        not(any(feature = "etcd", feature = "kubernetes")),
        expect(dead_code, reason = "a watch in this process is never interrupted")
    )]
    Blind(Error),
}

/// A store of sessions, and of locks that they hold. The rules of [`Store`] apply.
pub(crate) trait SessionStore: Store {
    /// Reads the record of a session.
    fn read_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
    ) -> BoxFuture<'a, Result<Option<Arc<Stored<SessionRecord>>>>>;

    /// Creates the record of a session, or replaces exactly `base`.
    fn write_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: Option<&'a Stored<SessionRecord>>,
        record: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Put<SessionRecord>>>;

    /// The sessions that were not renewed for this long, by wall clocks. Only garbage collection uses it.
    fn list_stale<'a>(
        &'a self,
        namespace: &'a Namespace,
        age: Duration,
    ) -> BoxFuture<'a, Result<Vec<NamedSession>>>;

    /// Deletes the record of a session that was ended, if it is exactly `base`.
    fn delete_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: &'a Stored<SessionRecord>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Reads the record of a lock.
    fn read_lock<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Arc<StoredLock>>>>;

    /// Creates the record of a lock, or changes the base of `write`, on the condition that it states.
    fn write_lock<'a>(
        &'a self,
        key: &'a RecordKey,
        write: &'a LockWrite,
    ) -> BoxFuture<'a, Result<Put<LockRecord>>>;

    /// Adds claims to the record of a lock. Only records whose [`turn`](LockRecord::turn) is known are joined, so a
    /// backend that states none is never asked.
    fn join_lock<'a>(
        &'a self,
        key: &'a RecordKey,
        join: &'a Join,
    ) -> BoxFuture<'a, Result<Put<LockRecord>>> {
        let _ = (key, join);
        Box::pin(ready(Ok(Put::Conflict(None))))
    }

    /// Lists the records that `session` holds: the first page, or the one at `cursor`. A record that the session holds
    /// during the whole list is on one of its pages.
    fn list_held<'a>(
        &'a self,
        namespace: &'a Namespace,
        session: &'a SessionId,
        cursor: Option<&'a Cursor>,
    ) -> BoxFuture<'a, Result<HeldPage>>;

    /// Watches the records that `session` holds. The stream begins with [`HeldEvent::All`], [`HeldEvent::Some`] or
    /// [`HeldEvent::Blind`], and never ends.
    fn watch_held(
        &self,
        namespace: &Namespace,
        session: &SessionId,
    ) -> BoxStream<'static, HeldEvent>;

    /// Watches one record by its name, whichever session holds it. [`HeldEvent::Gone`] then reports its deletion.
    fn watch_lock(&self, key: &RecordKey) -> BoxStream<'static, HeldEvent>;
}
