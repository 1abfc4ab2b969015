//! The names of records where any text can be one: nearly as the caller wrote them.

use std::fmt::Write as _;

use crate::{
    api::{
        error::{Error, Result},
        name::{MAX_NAME, Name, Namespace, RecordName},
    },
    store::names::Names,
};

/// Stands between the record of an election and the id of a candidate. No other name of a record has it.
const SEPARATOR: char = '~';

/// A record has the name of its lock or election, with the prefix before it.
///
/// A byte that is no printable ASCII character is written as `%` and two hexadecimal digits, and so are `%`, `/` and `~`.
/// So a name has no slash, and the names of all locks and elections sort before `~`.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainNames {
    prefix: String,
}

impl PlainNames {
    pub(super) fn new(prefix: &str) -> Result<Self> {
        check_prefix(prefix)?;
        Ok(Self { prefix: prefix.into() })
    }
}

/// Accepts any text without control characters.
pub(super) fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.len() > MAX_NAME || prefix.chars().any(char::is_control) {
        let bound = format!("a prefix is at most {MAX_NAME} bytes without control characters");
        return Err(Error::invalid("prefix", prefix, bound));
    }
    Ok(())
}

impl Names for PlainNames {
    fn namespace(&self, text: &str) -> Result<Namespace> {
        let name = Name::parse("namespace", text)?;
        if text.contains('/') || text.starts_with(SEPARATOR) {
            let bound = "it must not have a slash, and must not begin with `~`";
            return Err(Error::invalid("namespace", text, bound));
        }
        Ok(Namespace::stored(name.as_str()))
    }

    fn record(&self, text: &str) -> Result<RecordName> {
        let is_part = |c: char| (' '..='~').contains(&c) && c != '/';
        if text.is_empty() || text.starts_with(SEPARATOR) || !text.chars().all(is_part) {
            let bound =
                "no record has this name. `Inspect::record_name` returns the name of a record";
            return Err(Error::invalid("record name", text, bound));
        }
        Ok(RecordName::stored(text))
    }

    fn of(&self, name: &Name) -> RecordName {
        RecordName::stored(&escape(&format!("{}{name}", self.prefix)))
    }

    fn candidate(&self, election: &RecordName, id: &Name) -> RecordName {
        RecordName::stored(&format!("{election}{SEPARATOR}{}", escape(id.as_str())))
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | b'/' => _ = write!(escaped, "%{byte:02X}"),
            b' '..=b'}' => escaped.push(char::from(byte)),
            _ => _ = write!(escaped, "%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse("name", text).unwrap()
    }

    fn record(text: &str) -> String {
        PlainNames::default().of(&name(text)).to_string()
    }

    #[test]
    fn a_name_stays_as_it_is_where_it_can() {
        for text in ["orders", "Jobs nightly", "a.b-c_d:1", ".."] {
            assert_eq!(record(text), text);
        }
    }

    #[test]
    fn slashes_tildes_and_what_is_not_ascii_are_escaped() {
        for (text, expected) in [
            ("jobs/nightly", "jobs%2Fnightly"),
            ("~sessions", "%7Esessions"),
            ("50%", "50%25"),
            ("é", "%C3%A9"),
            ("\u{7f}a", "%7Fa"),
        ] {
            let plain = escape(text);
            assert_eq!(plain, expected, "a part of the format, never to change");
        }
    }

    #[test]
    fn a_candidate_has_the_record_of_its_election_before_its_id() {
        let names = PlainNames::new("app-").unwrap();
        let candidate = names.candidate(&names.of(&name("a/b")), &name("web-1~2"));
        assert_eq!(candidate.as_str(), "app-a%2Fb~web-1%7E2");
    }

    #[test]
    fn namespaces_that_would_be_two_parts_of_a_key_are_refused() {
        let names = PlainNames::default();
        for bad in ["", "a/b", "/", "~sessions", "a\nb", " a"] {
            assert!(names.namespace(bad).is_err(), "{bad}");
        }
        for good in ["default", "Shop 2", "a~b", "é"] {
            assert_eq!(names.namespace(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn only_what_can_be_the_name_of_a_record_is_accepted_as_one() {
        let names = PlainNames::default();
        for bad in ["", "a/b", "~sessions", "é"] {
            assert!(names.record(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_without_control_characters_are_accepted() {
        assert!(PlainNames::new("a\nb").is_err());
        assert!(PlainNames::new(&"x".repeat(254)).is_err());
        PlainNames::new("Any /").unwrap();
    }

    proptest! {
        #[test]
        fn each_name_has_a_record_of_its_own_that_sorts_before_the_sessions(
            one in "[a%2F/~é ]{1,4}|\\PC{1,8}", two in "[a%2F/~é ]{1,4}|\\PC{1,8}",
        ) {
            let (Ok(one), Ok(two)) = (Name::parse("name", &one), Name::parse("name", &two)) else { return Ok(()) };
            let names = PlainNames::default();
            let records = [&one, &two].map(|name| names.of(name));
            prop_assert_eq!(records[0] == records[1], one == two);
            let candidate = names.candidate(&records[0], &two);
            for record in records.iter().chain([&candidate]) {
                prop_assert!(record.as_str() < "~" && !record.as_str().contains('/'), "{record}");
                prop_assert_eq!(&names.record(record.as_str()).unwrap(), record);
            }
            prop_assert!(!records.contains(&candidate));
            prop_assert_eq!(candidate == names.candidate(&records[1], &one), one == two);
        }
    }
}
