//! Checks labels and annotations by the rules of Kubernetes, so that a wrong one fails when the handle is made and not
//! at the first lock.

use std::collections::BTreeMap;

use super::{
    error::{Error, Result},
    name,
};

/// The domain of the labels and annotations that this crate writes itself.
const OWN_DOMAIN: &str = "leasehold.dev";
/// The longest name in a key, and the longest label value, in bytes.
const MAX_NAME: usize = 63;
/// All annotations together, in bytes: the 256 KiB of Kubernetes without 4 KiB for those of this crate.
const MAX_ANNOTATIONS: usize = 252 * 1024;

/// Checks the keys and values of labels.
pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in labels {
        check_key("label", key)?;
        if !value.is_empty() && !is_qualified(value) {
            let bound = format!(
                "the value of label {key:?} is empty, or at most {MAX_NAME} letters, digits, `-`, `_` and `.`, \
                 beginning and ending with a letter or digit"
            );
            return Err(Error::invalid("label value", value, bound));
        }
    }
    Ok(())
}

/// Checks the keys of annotations, and the size of all together. A value may be any text.
pub(crate) fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<()> {
    let mut size = 0;
    for (key, value) in annotations {
        check_key("annotation", key)?;
        size += key.len() + value.len();
        if size > MAX_ANNOTATIONS {
            let bound =
                format!("with it the annotations have {size} bytes, at most {MAX_ANNOTATIONS} fit");
            return Err(Error::invalid("annotation", key, bound));
        }
    }
    Ok(())
}

fn check_key(what: &'static str, key: &str) -> Result<()> {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    if domain == Some(OWN_DOMAIN) {
        let bound = format!("keys that begin with {OWN_DOMAIN}/ are written by this crate alone");
        return Err(Error::invalid(what, key, bound));
    }
    if domain.is_none_or(is_subdomain) && is_qualified(name) {
        return Ok(());
    }
    let bound = format!(
        "a key is at most {MAX_NAME} letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit, \
         after an optional DNS name and `/`, for example app.kubernetes.io/name"
    );
    Err(Error::invalid(what, key, bound))
}

/// Whether `s` is a DNS-1123 subdomain, which Kubernetes requires of the domain of a key and of an object's name.
pub(crate) fn is_subdomain(s: &str) -> bool {
    s.len() <= name::MAX_NAME && s.split('.').all(is_label)
}

/// Whether `s` is a DNS-1123 label, apart from its length.
pub(crate) fn is_label(s: &str) -> bool {
    let inner = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !s.is_empty() && s.bytes().all(inner) && !s.starts_with('-') && !s.ends_with('-')
}

/// Whether `text` can be the name in a key, or a label value that is not empty.
fn is_qualified(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX_NAME
        && is_edge(text.chars().next())
        && is_edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.into(), value.into())])
    }

    #[test]
    fn keys_and_values_follow_the_rules_of_kubernetes() {
        let long = "x".repeat(63);
        for (key, value) in [
            ("team", "shop"),
            ("app.kubernetes.io/part-of", "Shop_1.2"),
            ("a", ""),
            (&*long, &*long),
            ("not-leasehold.dev/kind", "x"),
        ] {
            check_labels(&one(key, value)).unwrap();
            check_annotations(&one(key, "any text, \n also this: ż")).unwrap();
        }
    }

    #[test]
    fn an_invalid_key_is_refused_with_the_rule() {
        let long = "x".repeat(64);
        for key in ["", "/", "/a", "a/", "a/b/c", "A.b/c", "a b", "-a", "a-", "ż", &long] {
            for error in [check_labels(&one(key, "x")), check_annotations(&one(key, "x"))] {
                let error = error.unwrap_err().to_string();
                assert!(error.contains("app.kubernetes.io/name"), "{error}");
            }
        }
    }

    #[test]
    fn an_invalid_label_value_is_refused_with_its_key() {
        for value in ["-a", "a-", "a b", "a/b", "ż", &"x".repeat(64)] {
            let error = check_labels(&one("team", value)).unwrap_err().to_string();
            assert!(error.contains("label value") && error.contains("\"team\""), "{error}");
        }
    }

    #[test]
    fn keys_of_this_crate_are_refused() {
        for error in [
            check_labels(&one("leasehold.dev/kind", "lock")),
            check_annotations(&one("leasehold.dev/anything", "")),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("this crate alone"), "{error}");
        }
    }

    #[test]
    fn annotations_that_do_not_fit_into_an_object_are_refused() {
        check_annotations(&one("note", &"x".repeat(MAX_ANNOTATIONS - 4))).unwrap();
        let error = check_annotations(&one("note", &"x".repeat(MAX_ANNOTATIONS - 3))).unwrap_err();
        assert!(error.to_string().contains("at most 258048 fit"), "{error}");
    }
}
