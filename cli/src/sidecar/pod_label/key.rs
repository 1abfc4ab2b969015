//! The key of a label.

use std::str::FromStr;

/// `NAME` or `PREFIX/NAME`, by the rules of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelKey(String);

impl LabelKey {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelKey {
    type Err = &'static str;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, name)| (Some(p), name));
        let edge = |c: u8| c.is_ascii_alphanumeric();
        let fits = |part: &str, most: usize, inner: fn(u8) -> bool| {
            let bytes = part.as_bytes();
            bytes.len() <= most
                && bytes.first().is_some_and(|&c| edge(c))
                && bytes.last().is_some_and(|&c| edge(c))
                && bytes.iter().all(|&c| edge(c) || inner(c))
        };
        let domain = |part: &str| {
            part.len() <= 253
                && part == part.to_ascii_lowercase()
                && part.split('.').all(|label| fits(label, 63, |c| c == b'-'))
        };
        if fits(name, 63, |c| matches!(c, b'-' | b'_' | b'.')) && prefix.is_none_or(domain) {
            Ok(Self(key.into()))
        } else {
            Err(
                "the key of a label has at most 63 letters, digits, `-`, `_` and `.`, and may have a domain and \
                    `/` before them, like leasehold.dev/leader",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_follows_the_rules_of_kubernetes() {
        for good in ["leader", "leasehold.dev/leader", "a.b-c/d_e.F-1"] {
            assert_eq!(good.parse::<LabelKey>().unwrap().as_str(), good);
        }
        let long = "x".repeat(64);
        for bad in ["", "/", "a/", "/a", "a/b/c", "A.b/c", "-a", "a-", "a b", "ä", &long] {
            assert!(bad.parse::<LabelKey>().is_err(), "{bad}");
        }
    }
}
