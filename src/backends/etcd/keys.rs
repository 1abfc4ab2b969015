//! The keys of records: `PREFIX/NAMESPACE/NAME`, of sessions: `PREFIX/NAMESPACE/~sessions/NAME`, and of the index of
//! held locks: `PREFIX/NAMESPACE/~held/SESSION/NAME`.
//!
//! No name of a record begins with `~`, and all of them sort before it. So one range has all records of a namespace and
//! no session, whose heartbeats would otherwise wake every watch of the namespace.

use super::messages::{RangeRequest, WatchCreate};
use crate::{
    api::{
        error::Result,
        name::{Namespace, RecordName},
    },
    backends::plain_names::check_prefix,
    protocol::session::SessionId,
    store::RecordKey,
};

/// The prefix of a handle that has chosen none.
const DEFAULT: &str = "/leasehold";

/// What stands before the name of a session.
const SESSIONS: &str = "~sessions";
/// What stands before the name of a session and of a record that it holds.
const HELD: &str = "~held";

/// What a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Record(Namespace),
    Session(Namespace, SessionId),
}

/// A key, or the keys of a range.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The namespace of all; `*` if they are of several.
    pub(super) namespace: Namespace,
    /// The key, or the first one.
    pub(super) key: String,
    /// The first key that is not in the range; empty for a single key.
    pub(super) end: String,
}

impl Keys {
    /// The request for their values.
    pub(super) fn range(&self) -> RangeRequest {
        let (key, range_end) = (self.key.clone().into(), self.end.clone().into());
        RangeRequest { key, range_end, ..RangeRequest::default() }
    }

    /// The watch with this number, of the changes after `revision`.
    pub(super) fn watch(&self, watch_id: i64, revision: i64) -> WatchCreate {
        WatchCreate {
            key: self.key.clone().into(),
            range_end: self.end.clone().into(),
            start_revision: revision + 1,
            progress_notify: true,
            watch_id,
        }
    }
}

/// The prefix of all keys of a handle, without a slash at its end.
#[derive(Clone, Debug)]
pub(super) struct Prefix(String);

impl Prefix {
    /// Any text without control characters. The empty text is the default.
    pub(super) fn parse(prefix: &str) -> Result<Self> {
        let prefix = prefix.trim_end_matches('/');
        check_prefix(prefix)?;
        Ok(Self(if prefix.is_empty() { DEFAULT } else { prefix }.into()))
    }

    pub(super) fn record(&self, namespace: &Namespace, lease: &RecordName) -> Keys {
        self.key(namespace, lease.as_str())
    }

    pub(super) fn of(&self, key: &RecordKey) -> Keys {
        self.record(&key.namespace, &key.record)
    }

    pub(super) fn session(&self, namespace: &Namespace, id: &SessionId) -> Keys {
        self.key(namespace, &format!("{SESSIONS}/{id}"))
    }

    fn key(&self, namespace: &Namespace, path: &str) -> Keys {
        let key = format!("{}/{namespace}/{path}", self.0);
        Keys { namespace: namespace.clone(), key, end: String::new() }
    }

    /// All records of a namespace, or all records and all sessions of all namespaces.
    pub(super) fn records(&self, namespace: Option<&Namespace>) -> Keys {
        let Some(namespace) = namespace else { return self.everything() };
        let key = format!("{}/{namespace}/", self.0);
        let end = format!("{key}~");
        Keys { namespace: namespace.clone(), key, end }
    }

    /// All sessions of a namespace, or all records and all sessions of all namespaces.
    pub(super) fn sessions(&self, namespace: Option<&Namespace>) -> Keys {
        let Some(namespace) = namespace else { return self.everything() };
        below(namespace.clone(), &format!("{}/{namespace}/{SESSIONS}", self.0))
    }

    /// The records that `session` holds: see `held`.
    pub(super) fn held(&self, namespace: &Namespace, session: &SessionId) -> Keys {
        below(namespace.clone(), &format!("{}/{namespace}/{HELD}/{session}", self.0))
    }

    fn everything(&self) -> Keys {
        below(Namespace::stored("*"), &self.0)
    }

    /// The namespace of a record or a session, if the key is that of one.
    pub(super) fn place(&self, key: &[u8]) -> Option<Place> {
        let path = std::str::from_utf8(key).ok()?.strip_prefix(&self.0)?.strip_prefix('/')?;
        let (namespace, rest) = path.split_once('/')?;
        let namespace = Namespace::stored(namespace);
        match rest.strip_prefix(SESSIONS).and_then(|rest| rest.strip_prefix('/')) {
            Some(session) => Some(Place::Session(namespace, SessionId::parse(session)?)),
            // A longer path has a longer prefix.
            None => (!rest.contains('/')).then_some(Place::Record(namespace)),
        }
    }
}

/// The keys that begin with `path` and a slash.
fn below(namespace: Namespace, path: &str) -> Keys {
    // The character after the slash.
    Keys { namespace, key: format!("{path}/"), end: format!("{path}0") }
}

/// The name at the end of a key.
pub(super) fn name(key: &[u8]) -> &str {
    let key = std::str::from_utf8(key).unwrap_or_default();
    key.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace() -> Namespace {
        Namespace::stored("shop")
    }

    #[test]
    fn a_prefix_is_any_text_and_needs_no_slash_at_its_end() {
        for (prefix, key) in
            [("", "/leasehold/shop/x"), ("/vine/sync", "/vine/sync/shop/x"), ("a/", "a/shop/x")]
        {
            let keys =
                Prefix::parse(prefix).unwrap().record(&namespace(), &RecordName::stored("x"));
            assert_eq!((keys.key.as_str(), keys.end.as_str()), (key, ""));
        }
        for prefix in ["a\nb", &"x".repeat(254)] {
            assert!(Prefix::parse(prefix).is_err(), "{prefix}");
        }
    }

    #[test]
    fn the_range_of_the_records_of_a_namespace_has_no_session_and_no_other_namespace() {
        let prefix = Prefix::parse("/p").unwrap();
        let Keys { key, end, .. } = prefix.records(Some(&namespace()));
        let within = |name: &str| (key.as_str()..end.as_str()).contains(&name);
        assert!(within("/p/shop/0") && within("/p/shop/zz.z-9"));
        assert!(!within("/p/shop/~sessions/s15-x") && !within("/p/shop/~held/s15-x/y"));
        assert!(!within("/p/shop-2/x") && !within("/p/shop"));
        let Keys { key, end, .. } = prefix.sessions(Some(&namespace()));
        assert!((key..end).contains(&"/p/shop/~sessions/s15-x".to_owned()));
    }

    #[test]
    fn the_namespace_of_a_key_is_found_and_a_key_with_a_longer_prefix_has_none() {
        let prefix = Prefix::parse("/p").unwrap();
        let Keys { key, end, .. } = prefix.records(None);
        assert!((key..end).contains(&"/p/shop/x".to_owned()));
        assert_eq!(prefix.place(b"/p/shop/x"), Some(Place::Record(namespace())));
        let id = SessionId::parse("s15-k2j5q7w3x4y6z2a3b4c5").unwrap();
        let session = prefix.session(&namespace(), &id).key;
        assert_eq!(prefix.place(session.as_bytes()), Some(Place::Session(namespace(), id)));
        for key in
            ["/p/q/shop/x", "/p/q/shop/~sessions/x", "/p/x", "/pq/shop/x", "/p/shop/~sessions/x"]
        {
            assert_eq!(prefix.place(key.as_bytes()), None, "{key}");
        }
        let id = SessionId::parse("s15-k2j5q7w3x4y6z2a3b4c5").unwrap();
        let held = format!("{}x", prefix.held(&namespace(), &id).key);
        assert_eq!(held, "/p/shop/~held/s15-k2j5q7w3x4y6z2a3b4c5/x");
        assert_eq!(prefix.place(held.as_bytes()), None, "no record");
    }
}
