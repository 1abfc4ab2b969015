//! The keys of records: `PREFIX/NAMESPACE/NAME`, and of sessions: `PREFIX/NAMESPACE/~sessions/NAME`.
//!
//! No name of a record begins with `~`, and all of them sort before it. So one range has all records of a namespace and
//! no session, whose heartbeats would otherwise wake every watch of the namespace.

use crate::{
    api::{
        error::{Error, Result},
        name::{LeaseName, Namespace},
    },
    protocol::session::SessionId,
    store::RecordKey,
};

/// The prefix of a handle that has chosen none.
const DEFAULT: &str = "/leasehold";
/// The longest prefix, in bytes.
const MAX: usize = 253;

/// A key, or the beginning of the keys in a range.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) key: String,
    /// The first key that is not in the range; empty for a single key.
    pub(super) end: String,
}

/// The prefix of all keys of a handle, without a slash at its end.
#[derive(Clone, Debug)]
pub(super) struct Prefix(String);

impl Prefix {
    /// Any text without control characters. The empty text is the default.
    pub(super) fn parse(prefix: &str) -> Result<Self> {
        let trimmed = prefix.trim_end_matches('/');
        let fits = trimmed.len() <= MAX && !trimmed.chars().any(char::is_control);
        match trimmed {
            _ if !fits => {
                let bound =
                    format!("a prefix of keys is at most {MAX} bytes without control characters");
                Err(Error::invalid("prefix", prefix, bound))
            }
            "" => Ok(Self(DEFAULT.into())),
            prefix => Ok(Self(prefix.into())),
        }
    }

    pub(super) fn record(&self, namespace: &Namespace, lease: &LeaseName) -> Keys {
        Keys { key: format!("{}/{namespace}/{lease}", self.0), end: String::new() }
    }

    pub(super) fn of(&self, key: &RecordKey) -> Keys {
        self.record(&key.namespace, &key.lease)
    }

    /// All records of a namespace.
    pub(super) fn records(&self, namespace: &Namespace) -> Keys {
        let key = format!("{}/{namespace}/", self.0);
        let end = format!("{key}~");
        Keys { key, end }
    }

    pub(super) fn session(&self, namespace: &Namespace, id: &SessionId) -> Keys {
        Keys { key: format!("{}/{namespace}/~sessions/{id}", self.0), end: String::new() }
    }

    /// All sessions of a namespace.
    pub(super) fn sessions(&self, namespace: &Namespace) -> Keys {
        let path = format!("{}/{namespace}/~sessions", self.0);
        // The character after the slash.
        Keys { key: format!("{path}/"), end: format!("{path}0") }
    }
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
        Namespace::parse("shop").unwrap()
    }

    #[test]
    fn a_prefix_is_any_text_and_needs_no_slash_at_its_end() {
        for (prefix, key) in
            [("", "/leasehold/shop/x"), ("/vine/sync", "/vine/sync/shop/x"), ("a/", "a/shop/x")]
        {
            let keys = Prefix::parse(prefix).unwrap().record(&namespace(), &LeaseName::stored("x"));
            assert_eq!((keys.key.as_str(), keys.end.as_str()), (key, ""));
        }
        for prefix in ["a\nb", &"x".repeat(254)] {
            assert!(Prefix::parse(prefix).is_err(), "{prefix}");
        }
    }

    #[test]
    fn the_range_of_the_records_of_a_namespace_has_no_session_and_no_other_namespace() {
        let prefix = Prefix::parse("/p").unwrap();
        let Keys { key, end } = prefix.records(&namespace());
        let within = |name: &str| (key.as_str()..end.as_str()).contains(&name);
        assert!(within("/p/shop/0") && within("/p/shop/zz.z-9"));
        assert!(!within("/p/shop/~sessions/s15-x") && !within("/p/shop-2/x") && !within("/p/shop"));
        let Keys { key, end } = prefix.sessions(&namespace());
        assert!((key..end).contains(&"/p/shop/~sessions/s15-x".to_owned()));
    }
}
