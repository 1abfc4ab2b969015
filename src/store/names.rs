//! The names that a backend allows, and those that it gives to records.

use std::fmt;

use crate::api::{
    error::Result,
    name::{Name, Namespace, RecordName},
};

/// The names of one handle. No call sends a request.
///
/// Two names never share a record, and every process and every version makes the same name of a record: it is a part of
/// the format.
pub(crate) trait Names: fmt::Debug + Send + Sync + 'static {
    /// The namespace that a caller names.
    fn namespace(&self, text: &str) -> Result<Namespace>;

    /// The record whose own name a caller states.
    #[cfg_attr(
        not(any(test, feature = "etcd", feature = "kubernetes")),
        expect(dead_code, reason = "the embedded backend has no tools for operators")
    )]
    fn record(&self, text: &str) -> Result<RecordName>;

    /// The record of the lock or election `name`, with the prefix of the handle.
    fn of(&self, name: &Name) -> RecordName;

    /// The record of the candidate `id` in the election with this record.
    fn candidate(&self, election: &RecordName, id: &Name) -> RecordName;
}
