//! The names of Leases, label values and namespaces: the rules of Kubernetes for them.

use uuid::Uuid;

use crate::{
    api::{
        error::{Error, Result},
        metadata::{is_label, is_subdomain},
        name::{Name, Namespace, RecordName},
    },
    protocol::session::SessionId,
    store::names::Names,
};

/// The longest DNS-1123 label, label value and namespace, in bytes.
const MAX_LABEL: usize = 63;

/// Namespace of the hashes in derived names; part of the format, never to change.
const HASH_SPACE: Uuid = Uuid::from_u128(0x6c65_6173_6568_6f6c_642e_6465_762f_6e01);

/// The names of the Leases of one handle.
#[derive(Clone, Debug, Default)]
pub(super) struct LeaseNames {
    prefix: String,
}

impl LeaseNames {
    pub(super) fn new(prefix: &str) -> Result<Self> {
        parse_prefix(prefix)?;
        Ok(Self { prefix: prefix.into() })
    }
}

impl Names for LeaseNames {
    fn namespace(&self, text: &str) -> Result<Namespace> {
        if text.len() > MAX_LABEL || !is_label(text) {
            let bound = "a namespace is 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit";
            return Err(Error::invalid("namespace", text, bound));
        }
        Ok(Namespace::stored(text))
    }

    fn record(&self, text: &str) -> Result<RecordName> {
        if is_subdomain(text) {
            return Ok(RecordName::stored(text));
        }
        let bound = "it is no DNS-1123 name. `Inspect::record_name` returns the name of a record";
        Err(Error::invalid("record name", text, bound))
    }

    /// Where prefix and name together are a DNS-1123 name, the Lease has exactly that name, so that other tools can share
    /// it; else a readable slug and a hash. A name that a session can have gets a hash too: a lock in the Lease of a
    /// session would end that session.
    fn of(&self, name: &Name) -> RecordName {
        let full = format!("{}{name}", self.prefix);
        let stays = is_subdomain(&full) && SessionId::parse(&full).is_none();
        RecordName::stored(&if stays { full } else { slug(&full, &full) })
    }

    fn candidate(&self, election: &RecordName, id: &Name) -> RecordName {
        RecordName::stored(&slug(&format!("{election}-{id}"), &format!("{election}\0{id}")))
    }
}

/// The name as a label value. A label value is shorter than a name, so a long name becomes a slug and a hash.
pub(super) fn label(lease: &RecordName) -> String {
    let name = lease.as_str();
    if name.len() <= MAX_LABEL { name.to_owned() } else { slug(name, name) }
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

/// Checks a prefix: empty, or such that a DNS-1123 name with the prefix is still a DNS-1123 name.
fn parse_prefix(prefix: &str) -> Result<()> {
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
        LeaseNames::default().of(&Name::parse("lock name", name).unwrap()).to_string()
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
    fn no_lock_has_the_lease_of_a_session() {
        for session in ["s15-k2j5q7w3x4y6z2a3b4c5", "s15-k2j5q7w3x4y6z2a3b4c5-abcdefghij"] {
            let lease = lease(session);
            assert!(SessionId::parse(&lease).is_none(), "{lease}");
        }
        assert_eq!(lease("s15-k2j5q7w3x4y6z2a3b4c5"), "s15-k2j5q7w3x4y6z2a3b4c5-a1bea8a3492b5618");
        assert_eq!(lease("s15-orders"), "s15-orders");
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(lease("jobs/nightly"), "jobs-nightly-340c65cc94e15599");
    }

    #[test]
    fn invalid_namespaces_and_prefixes_are_refused() {
        for namespace in ["", "A", "a.b", "-a", "a-", "a/b", &"x".repeat(64)] {
            assert!(LeaseNames::default().namespace(namespace).is_err(), "{namespace}");
        }
        for prefix in ["A", "a/", "-", ".", &"x".repeat(64)] {
            assert!(LeaseNames::new(prefix).is_err(), "{prefix}");
        }
        for prefix in ["", "app-", "app.", "a"] {
            LeaseNames::new(prefix).unwrap();
        }
    }

    proptest! {
        #[test]
        fn every_name_is_refused_or_gives_a_valid_object_name(name in any::<String>(), id in "\\PC{1,80}") {
            let Ok(name) = Name::parse("lock name", &name) else { return Ok(()) };
            let lease = LeaseNames::default().of(&name);
            prop_assert!(is_subdomain(lease.as_str()));
            prop_assert!(label(&lease).len() <= MAX_LABEL);
            if let Ok(id) = Name::parse("id", &id) {
                prop_assert!(is_subdomain(LeaseNames::default().candidate(&lease, &id).as_str()));
            }
        }

        /// Names that differ little.
        #[test]
        fn two_names_never_share_a_record(one in "[aA./ -]{1,6}", two in "[aA./ -]{1,6}") {
            let (Ok(one), Ok(two)) = (Name::parse("name", &one), Name::parse("name", &two)) else { return Ok(()) };
            let names = LeaseNames::default();
            prop_assert_eq!(names.of(&one) == names.of(&two), one == two);
            let candidate = |id| names.candidate(&RecordName::stored("e"), id);
            prop_assert_eq!(candidate(&one) == candidate(&two), one == two);
        }

        #[test]
        fn a_dns_name_with_an_accepted_prefix_is_kept(prefix in "[a-c.-]{0,8}", name in "[a-z][a-z0-9-]{0,9}[a-z]") {
            if let Ok(names) = LeaseNames::new(&prefix) {
                let lease = names.of(&Name::parse("name", &name).unwrap());
                prop_assert_eq!(lease.as_str(), format!("{prefix}{name}"));
            }
        }

        #[test]
        fn a_label_is_a_valid_label_value(name in "[a-z]([a-z0-9.-]{0,120}[a-z])?") {
            let label = label(&LeaseNames::default().of(&Name::parse("name", &name).unwrap()));
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
            prop_assert_eq!(LeaseNames::default().namespace(&text).is_ok(), fits);
        }
    }
}
