//! The seam: what a backend must be able to do for the protocol to run over it.

use std::{fmt, num::NonZeroU64, sync::Arc};

use futures::{future::BoxFuture, stream::BoxStream};

use crate::{
    api::{
        error::Result,
        name::{LeaseName, Name, Namespace},
    },
    protocol::record::{Versioned, Write},
};

/// Where a record is, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordKey {
    pub(crate) namespace: Namespace,
    pub(crate) lease: LeaseName,
    pub(crate) kind: Kind,
    /// The name as its user says it: of the lock, or of the election.
    pub(crate) name: Name,
}

/// What a record is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Lock,
    Election,
    /// Stands in the election whose record has this name.
    Candidate(LeaseName),
}

impl RecordKey {
    /// The candidate's record of `id` in the election `self`.
    pub(crate) fn candidate(&self, id: &Name) -> Self {
        Self {
            namespace: self.namespace.clone(),
            lease: self.lease.candidate(id),
            kind: Kind::Candidate(self.lease.clone()),
            name: self.name.clone(),
        }
    }
}

/// A set of records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One record, whoever wrote it.
    Record(Namespace, LeaseName),
    /// The records of elections and their candidates: of one election, or of all.
    Elections(Namespace, Option<LeaseName>),
    /// Every record of this crate, under whatever prefix it was made: of one namespace, or of all. Only those
    /// that a label selector of the caller's selects, where there is one.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "a map in this process needs no operator")
    )]
    Records(Option<Namespace>, Option<Arc<str>>),
}

/// A record and what it is for, as far as it says so itself.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) namespace: Namespace,
    pub(crate) lease: LeaseName,
    /// `None` where the record does not say: another program's.
    pub(crate) kind: Option<Kind>,
    pub(crate) name: String,
    pub(crate) found: Arc<Versioned>,
}

impl Entry {
    /// Where it is.
    pub(crate) fn place(&self) -> (Namespace, LeaseName) {
        (self.namespace.clone(), self.lease.clone())
    }
}

/// What a watch tells. It may tell late, twice, or not at all: nothing but speed depends on it.
#[derive(Clone, Debug)]
pub(crate) enum WatchEvent {
    /// The whole set, from here on.
    All(Vec<Entry>),
    /// This is there now.
    Set(Entry),
    /// This is gone; the version is that of the deletion.
    Gone(Namespace, LeaseName, NonZeroU64),
    /// There is no watch at present, and why, as a line to log.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(dead_code, reason = "a map in this process is always seen")
    )]
    Blind(String),
}

/// What became of a conditional write, where that is known.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Stored(Arc<Versioned>),
    /// Deleted, as asked.
    Gone,
    Conflict,
}

/// A place for records with compare-and-swap.
///
/// # Guarantees that an implementation gives
///
/// - `read` answers with a state that was current at some time during the call, or says that it failed.
/// - `write` is stored only if the record is exactly `base` (version and uid), or absent where there is no base.
///   An `Err` that is not a refusal leaves open whether it is stored.
/// - Versions of one name strictly grow with each change, also across deletion.
/// - What is not in [`Record`](crate::protocol::record::Record) is preserved.
/// - Nothing retries by itself: each call is one attempt, abandoned by dropping its future.
pub(crate) trait Store: fmt::Debug + Send + Sync + 'static {
    /// The backend's name, for people.
    fn backend(&self) -> &'static str;

    /// Whether it can be reached and what this handle will need is allowed.
    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>>;

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>>;

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>>;

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>>;

    /// Begins with [`WatchEvent::All`] or [`WatchEvent::Blind`]; never ends. One watch serves all who ask for the same scope.
    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent>;

    /// Says that a read showed what the watch of `scope` should have told long ago.
    fn doubt(&self, _scope: &Scope) {}
}
