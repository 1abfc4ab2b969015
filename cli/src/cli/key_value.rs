//! `KEY=VALUE`, for labels and annotations.

use std::str::FromStr;

/// One label or annotation. The library checks both parts by the rules of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for KeyValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.into(), value: value.into() })
            }
            _ => Err("write it like team=shop"),
        }
    }
}

/// The form in which the library takes labels and annotations.
pub(crate) fn pairs(given: &[KeyValue]) -> impl Iterator<Item = (&str, &str)> {
    given.iter().map(|KeyValue { key, value }| (key.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_empty_and_may_contain_equals_signs() {
        for (text, key, value) in [("a=", "a", ""), ("a=b=c", "a", "b=c"), ("x/y= z", "x/y", " z")]
        {
            let parsed: KeyValue = text.parse().unwrap();
            assert_eq!((&*parsed.key, &*parsed.value), (key, value));
        }
        for text in ["", "a", "=b"] {
            assert!(text.parse::<KeyValue>().is_err(), "{text}");
        }
    }
}
