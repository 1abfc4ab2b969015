//! Names, namespaces and identities, parsed once: inside the library a name is never a bare string.

use std::{borrow::Borrow, fmt, sync::Arc};

use uuid::Uuid;

use crate::api::error::{Error, Result};

/// The longest name or identity, in bytes: what a Kubernetes object name may have.
const MAX_NAME: usize = 253;

/// The longest DNS-1123 label, label value and namespace, in bytes.
const MAX_LABEL: usize = 63;

/// Namespace of the hashes in derived names; part of the format, never to change.
const HASH_SPACE: Uuid = Uuid::from_u128(0x6c65_6173_6568_6f6c_642e_6465_762f_6e01);

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

/// A namespace: a DNS-1123 label of at most 63 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Namespace(Arc<str>);

impl Namespace {
    pub(crate) fn parse(namespace: &str) -> Result<Self> {
        if namespace.len() > MAX_LABEL || !is_label(namespace) {
            let bound = "a namespace is 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit";
            return Err(Error::invalid("namespace", namespace, bound));
        }
        Ok(Self(namespace.into()))
    }

    /// The namespace of a record, as the backend reports it.
    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
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

/// The name of one record in the backend: a DNS-1123 subdomain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordName(Arc<str>);

impl RecordName {
    /// The record of the lock or election `name` under `prefix`. Where prefix and name together are a DNS-1123 name, the
    /// record has exactly that name, so that other tools can share it; else a readable slug and a hash.
    pub(crate) fn of(prefix: &str, name: &Name) -> Self {
        let full = format!("{prefix}{name}");
        if is_subdomain(&full) { Self(full.into()) } else { Self(slug(&full, &full).into()) }
    }

    /// The record of `candidate` in the election whose record is `self`.
    pub(crate) fn candidate(&self, candidate: &Name) -> Self {
        let text = format!("{}-{candidate}", self.0);
        Self(slug(&text, &format!("{}\0{candidate}", self.0)).into())
    }

    /// The name of a record, as the backend reports it.
    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
    pub(crate) fn stored(name: &str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a label value. A label value is shorter than a name, so a long name becomes a slug and a hash.
    #[cfg(any(test, feature = "kubernetes"))]
    pub(crate) fn label(&self) -> String {
        let fits = self.0.len() <= MAX_LABEL;
        if fits { self.0.to_string() } else { slug(&self.0, &self.0) }
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

/// `text` cut down to a DNS-1123 label of at most 46 bytes, and 16 hexadecimal digits of a hash of `whole`.
fn slug(text: &str, whole: &str) -> String {
    const KEPT: usize = MAX_LABEL - 17;
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
        if slug.len() == KEPT {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    let hash = Uuid::new_v5(&HASH_SPACE, whole.as_bytes()).simple().to_string();
    if slug.is_empty() { hash[..16].to_owned() } else { format!("{slug}-{}", &hash[..16]) }
}

fn is_label(s: &str) -> bool {
    let inner = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !s.is_empty() && s.bytes().all(inner) && !s.starts_with('-') && !s.ends_with('-')
}

/// Whether `s` is a DNS-1123 subdomain, which Kubernetes requires of an object's name.
pub(crate) fn is_subdomain(s: &str) -> bool {
    s.len() <= MAX_NAME && s.split('.').all(is_label)
}

/// Checks a prefix: empty, or such that a DNS-1123 name with the prefix is still a DNS-1123 name.
pub(crate) fn parse_prefix(prefix: &str) -> Result<()> {
    let fits =
        prefix.is_empty() || prefix.len() <= MAX_LABEL && is_subdomain(&format!("{prefix}a"));
    if fits {
        return Ok(());
    }
    let bound = "a prefix is at most 63 of a-z, 0-9, `-` and `.`, beginning with a letter or digit";
    Err(Error::invalid("prefix", prefix, bound))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lease(name: &str) -> String {
        RecordName::of("", &Name::parse("lock name", name).unwrap()).to_string()
    }

    #[test]
    fn a_dns_name_is_kept() {
        assert_eq!(lease("orders.nightly-1"), "orders.nightly-1");
    }

    #[test]
    fn other_names_become_different_slugs_with_hashes() {
        let names = [
            "jobs/nightly",
            "jobs nightly",
            "Jobs/nightly",
            "../../etc/passwd",
            "zażółć",
            "日本語",
            "-x",
            "a..b",
            ".",
        ];
        let mut leases: Vec<_> = names.iter().map(|name| lease(name)).collect();
        assert!(
            leases.iter().all(|lease| is_subdomain(lease) && lease.len() <= MAX_LABEL),
            "{leases:?}"
        );
        assert!(leases[0].starts_with("jobs-nightly-"), "{leases:?}");
        leases.sort();
        leases.dedup();
        assert_eq!(leases.len(), names.len());
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(lease("jobs/nightly"), "jobs-nightly-340c65cc94e15599");
    }

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
    fn invalid_namespaces_and_prefixes_are_refused() {
        for namespace in ["", "A", "a.b", "-a", "a-", "a/b", &"x".repeat(64)] {
            assert!(Namespace::parse(namespace).is_err(), "{namespace}");
        }
        for prefix in ["A", "a/", "-", ".", &"x".repeat(64)] {
            assert!(parse_prefix(prefix).is_err(), "{prefix}");
        }
        for prefix in ["", "app-", "app.", "a"] {
            parse_prefix(prefix).unwrap();
        }
    }

    #[test]
    fn two_incarnations_never_share_an_identity() {
        assert_ne!(incarnation(), incarnation());
    }

    proptest! {
        #[test]
        fn every_name_is_refused_or_gives_a_valid_object_name(name in any::<String>(), id in "\\PC{1,80}") {
            let Ok(name) = Name::parse("lock name", &name) else { return Ok(()) };
            let lease = RecordName::of("", &name);
            prop_assert!(is_subdomain(lease.as_str()));
            prop_assert!(lease.label().len() <= MAX_LABEL);
            if let Ok(id) = Name::parse("id", &id) {
                prop_assert!(is_subdomain(lease.candidate(&id).as_str()));
            }
        }

        /// Names that differ little.
        #[test]
        fn two_names_never_share_a_record(one in "[aA./ -]{1,6}", two in "[aA./ -]{1,6}") {
            let (Ok(one), Ok(two)) = (Name::parse("name", &one), Name::parse("name", &two)) else { return Ok(()) };
            let (a, b) = (RecordName::of("", &one), RecordName::of("", &two));
            prop_assert_eq!(a == b, one == two);
            let election = RecordName::of("", &Name::parse("name", "e").unwrap());
            prop_assert_eq!(election.candidate(&one) == election.candidate(&two), one == two);
        }

        #[test]
        fn a_dns_name_with_an_accepted_prefix_is_kept(prefix in "[a-c.-]{0,8}", name in "[a-z][a-z0-9-]{0,9}[a-z]") {
            if parse_prefix(&prefix).is_ok() {
                let lease = RecordName::of(&prefix, &Name::parse("name", &name).unwrap());
                prop_assert_eq!(lease.as_str(), format!("{prefix}{name}"));
            }
        }

        #[test]
        fn a_label_is_a_valid_label_value(name in "[a-z]([a-z0-9.-]{0,120}[a-z])?") {
            let label = RecordName::of("", &Name::parse("name", &name).unwrap()).label();
            let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            prop_assert!(label.len() <= MAX_LABEL && label.chars().all(inner), "{label}");
            prop_assert!(label.starts_with(|c: char| c.is_ascii_alphanumeric()), "{label}");
            prop_assert!(label.ends_with(|c: char| c.is_ascii_alphanumeric()), "{label}");
        }

        #[test]
        fn a_namespace_is_accepted_exactly_if_it_is_a_label(text in "[a-zA-Z0-9.-]{0,66}|\\PC{0,8}") {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let inner = text.chars().all(|c| c == '-' || edge(Some(c)));
            let fits = inner && text.len() <= 63 && edge(text.chars().next()) && edge(text.chars().last());
            prop_assert_eq!(Namespace::parse(&text).is_ok(), fits);
        }
    }
}
