//! Names, namespaces and identities, parsed once: inside the library a name is never a bare string.
//!
//! Which namespaces there can be, and how a record is called, is decided by the backend: see `store::names`.

use std::{borrow::Borrow, fmt, sync::Arc};

use uuid::Uuid;

use crate::api::error::{Error, Result};

/// The longest name or identity, in bytes: what a Kubernetes object name may have.
pub(crate) const MAX_NAME: usize = 253;

/// The name of a lock or an election as the caller gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Arc<str>);

impl Name {
    /// Accepts any text of 1 to 253 bytes without control characters and without blanks at its ends.
    pub(crate) fn parse(what: &'static str, name: &str) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::invalid(what, name, "it must have at least one character"));
        }
        if name.len() > MAX_NAME {
            let bound = format!("it has {} bytes, at most {MAX_NAME} fit", name.len());
            return Err(Error::invalid(what, name, bound));
        }
        if name.chars().any(char::is_control) {
            return Err(Error::invalid(what, name, "it must not have control characters"));
        }
        if name.trim() != name {
            return Err(Error::invalid(what, name, "it must not begin or end with a blank"));
        }
        Ok(Self(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_arc(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A namespace, as the backend has accepted or reported it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Namespace(Arc<str>);

impl Namespace {
    pub(crate) fn stored(namespace: &str) -> Self {
        Self(namespace.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one record, as the backend has made or reported it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordName(Arc<str>);

impl RecordName {
    pub(crate) fn stored(name: &str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map by name can be searched with the text of a name.
impl Borrow<str> for RecordName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new identity for one incarnation of a process: the name of the pod or host, and a random uuid.
pub(crate) fn incarnation() -> Name {
    let mut host =
        std::env::var("POD_NAME").ok().filter(|pod| !pod.is_empty()).unwrap_or_else(hostname);
    host.retain(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    host.truncate(MAX_NAME - 64);
    Name(format!("{host}_{}", Uuid::new_v4()).into())
}

#[cfg(unix)]
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn hostname() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "host".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_name_is_refused_with_the_bound() {
        for (name, bound) in [
            (String::new(), "at least one"),
            ("x".repeat(254), "254 bytes, at most 253"),
            ("a\nb".into(), "control characters"),
            (" a".into(), "blank"),
        ] {
            let error = Name::parse("lock name", &name).unwrap_err().to_string();
            assert!(error.contains(bound), "{error}");
        }
    }

    #[test]
    fn two_incarnations_never_share_an_identity() {
        assert_ne!(incarnation(), incarnation());
    }
}
