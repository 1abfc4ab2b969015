//! The interface between the protocol and a backend: what a backend must do so that the protocol can run over it.

use std::{fmt, num::NonZeroU64, sync::Arc, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};

use self::names::Names;
use crate::{
    api::{
        error::Result,
        name::{Name, Namespace, RecordName},
    },
    protocol::{
        queue::record::LockRecord,
        record::{Versioned, Write},
        session::SessionId,
    },
};

#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub(crate) mod inspect;
pub(crate) mod names;
pub(crate) mod sessions;

/// The address of a record, and its purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordKey {
    pub(crate) namespace: Namespace,
    pub(crate) record: RecordName,
    pub(crate) kind: Kind,
    /// The name of the lock or election, as the caller wrote it.
    pub(crate) name: Name,
}

/// The purpose of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Lock,
    Election,
    /// A candidate in the election whose record has this name.
    Candidate(RecordName),
}

impl RecordKey {
    /// The record of the candidate `id` in the election `self`.
    pub(crate) fn candidate(&self, names: &dyn Names, id: &Name) -> Self {
        Self {
            namespace: self.namespace.clone(),
            record: names.candidate(&self.record, id),
            kind: Kind::Candidate(self.record.clone()),
            name: self.name.clone(),
        }
    }
}

/// A set of records, to list or to watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One record, whichever program wrote it.
    Record(Namespace, RecordName),
    /// The records of elections and of their candidates: of one election, or of all elections in the namespace.
    Elections(Namespace, Option<RecordName>),
    /// Every record that this crate made, with any prefix: of one namespace, or of all namespaces.
    /// A label selector of the caller can restrict the set.
    #[cfg_attr(
        not(any(feature = "etcd", feature = "kubernetes")),
        expect(dead_code, reason = "the embedded backend has no tools for operators")
    )]
    Records(Option<Namespace>, Option<Arc<str>>),
}

impl Scope {
    /// The namespace of its records; `None` for those of all namespaces.
    pub(crate) const fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Record(namespace, _) | Self::Elections(namespace, _) => Some(namespace),
            Self::Records(namespace, _) => namespace.as_ref(),
        }
    }

    /// Whether it selects `entry`: the one definition. What a backend selects by other means, as by labels, is the same.
    ///
    /// A label selector of the caller selects nothing here, because an entry has no labels.
    pub(crate) fn selects(&self, entry: &Entry) -> bool {
        let by_purpose = match (self, &entry.kind) {
            (Self::Record(..), _) => true,
            (Self::Elections(_, only), Some(Kind::Election)) => {
                is_or_any(only.as_ref(), &entry.record)
            }
            (Self::Elections(_, only), Some(Kind::Candidate(election))) => {
                is_or_any(only.as_ref(), election)
            }
            (Self::Elections(..), Some(Kind::Lock) | None) => false,
            (Self::Records(_, labels), kind) => labels.is_none() && kind.is_some(),
        };
        by_purpose && self.may_select(&entry.namespace, &entry.record)
    }

    /// Whether it can select the record with this name, whatever its purpose.
    pub(crate) fn may_select(&self, namespace: &Namespace, record: &RecordName) -> bool {
        let named = match self {
            Self::Record(_, only) => only == record,
            Self::Elections(..) | Self::Records(..) => true,
        };
        named && self.namespace().is_none_or(|only| only == namespace)
    }
}

fn is_or_any<T: PartialEq>(only: Option<&T>, it: &T) -> bool {
    only.is_none_or(|only| only == it)
}

/// A record, and the purpose that is written in it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) namespace: Namespace,
    pub(crate) record: RecordName,
    /// `None` if the record does not state its purpose, because another program wrote it.
    pub(crate) kind: Option<Kind>,
    pub(crate) name: String,
    pub(crate) found: Arc<Versioned>,
    /// The claims of sessions in it, if there is or was one.
    pub(crate) queue: Option<Arc<LockRecord>>,
    /// The place in the order of succession, of a candidate in a queue.
    pub(crate) succession: Option<u32>,
}

/// A session that is listed, for people.
#[derive(Clone, Debug)]
pub(crate) struct ListedSession {
    pub(crate) id: SessionId,
    pub(crate) version: NonZeroU64,
    pub(crate) is_over: bool,
    /// How long ago it was renewed, by wall clocks.
    pub(crate) age: Option<Duration>,
}

impl Entry {
    /// The namespace and the name of the record.
    pub(crate) fn place(&self) -> (Namespace, RecordName) {
        (self.namespace.clone(), self.record.clone())
    }
}

/// An event of a watch.
///
/// An event may be late, repeated or missing. Only speed depends on events: safety depends on conditional writes.
#[derive(Clone, Debug)]
pub(crate) enum WatchEvent {
    /// The whole set. It replaces everything that was reported before.
    All(Vec<Entry>),
    /// This record was created or changed.
    Set(Entry),
    /// This record was deleted. The version is the version of the deletion.
    Gone(Namespace, RecordName, NonZeroU64),
    /// The watch is interrupted. The text is the reason, as a line to log.
    #[cfg_attr(
        not(any(feature = "etcd", feature = "kubernetes")),
        expect(dead_code, reason = "a watch in this process is never interrupted")
    )]
    Blind(String),
}

/// The outcome of a conditional write, if it is known.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    /// The record as it is stored now.
    Stored(Arc<Versioned>),
    /// The record is deleted, as the write requested.
    Gone,
    /// The record is not the one that the write was conditional on. Nothing was written.
    Conflict,
}

/// A store of records with compare-and-swap.
///
/// # Guarantees that an implementation gives
///
/// - `read` returns a state that was current at some time during the call, or an error.
/// - `write` is stored, or carried out if it deletes, only if the record is exactly `base` (version and uid), or absent
///   if there is no base. A deletion of a record that is absent may count as carried out.
///   After an error that is not a refusal by the backend, the outcome is unknown: the record may be stored.
/// - The version of one name grows strictly with each change, also across a deletion.
/// - A write preserves every field that is not in [`Record`](crate::protocol::record::Record).
/// - Each call is one attempt, without retries. Dropping the future abandons the attempt.
pub(crate) trait Store: fmt::Debug + Send + Sync + 'static {
    /// The name of the backend, for messages.
    fn backend(&self) -> &'static str;

    /// A question to an operator: what may have changed a write on its way to the store?
    fn suspect(&self) -> &'static str {
        "is a program in between changing records?"
    }

    /// The names of the handle.
    fn names(&self) -> &Arc<dyn Names>;

    /// Checks that the backend can be reached, and that it allows what this handle will need.
    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>>;

    /// Reads one record; `None` if there is none.
    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>>;

    /// Writes one record, or deletes it, as [`WriteKind`](crate::protocol::record::WriteKind) says.
    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>>;

    /// Lists the records in `scope`.
    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>>;

    /// Lists the sessions of a namespace, or of all, for people.
    fn list_sessions<'a>(
        &'a self,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<Vec<ListedSession>>>;

    /// Watches `scope`. The stream begins with [`WatchEvent::All`] or [`WatchEvent::Blind`], and never ends.
    /// Subscribers to the same scope may share one watch.
    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent>;

    /// Reports that a read returned a change that the watch of `scope` should have reported long before.
    /// A backend whose watches can hang restarts the watch.
    fn doubt(&self, _scope: &Scope) {}
}
