//! One page of a list, decoded object by object.
//!
//! A page of 500 objects has about 500 KB, and a tree of its values takes ten times as much. So each object is decoded and
//! dropped before the next one is parsed.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::store::sessions::Cursor;

/// One page of a list.
#[derive(Debug)]
pub(super) enum Page<T> {
    /// More pages follow; the next one begins at the cursor.
    Further(Vec<T>, Cursor),
    /// The list is complete. The text is the version from which to watch.
    Last(Vec<T>, String),
    /// The server does not keep the state any more that the pages before have shown. They prove nothing.
    Expired,
}

/// Why a body is no page.
#[derive(Debug)]
pub(super) enum PageFailure {
    /// It is JSON, but no list. It must not be read as an empty list, because every record would then count as deleted.
    NotAList,
    Malformed(serde_json::Error),
    /// The next page is this one again, or there are too many.
    NoEnd,
}

/// What `decode` makes of each object on the page in `body`, which was requested with this cursor.
pub(super) fn decode<T>(
    body: &[u8],
    cursor: Option<&Cursor>,
    decode: impl Fn(Value) -> Option<T>,
) -> Result<Page<T>, PageFailure> {
    let (mut found, mut metadata, mut has_items) = (Vec::new(), Value::Null, false);
    let list =
        List { metadata: &mut metadata, has_items: &mut has_items, found: &mut found, decode };
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = json.deserialize_map(list).and_then(|()| json.end());
    parsed.map_err(|error| {
        if error.is_data() { PageFailure::NotAList } else { PageFailure::Malformed(error) }
    })?;
    // Some servers omit the field of an empty list.
    if !has_items && !metadata.is_object() {
        return Err(PageFailure::NotAList);
    }
    if let Some(token) = metadata["continue"].as_str().filter(|token| !token.is_empty()) {
        let next = Cursor::after(cursor, token.into()).ok_or(PageFailure::NoEnd)?;
        return Ok(Page::Further(found, next));
    }
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    Ok(Page::Last(found, version.into()))
}

struct List<'a, T, F> {
    metadata: &'a mut Value,
    has_items: &'a mut bool,
    found: &'a mut Vec<T>,
    decode: F,
}

impl<'de, T, F: Fn(Value) -> Option<T>> Visitor<'de> for List<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<Cow<'de, str>>()? {
            match &*field {
                "metadata" => *self.metadata = fields.next_value()?,
                "items" => {
                    // Those of a field that occurs twice: the last one counts.
                    self.found.clear();
                    let items = Items { found: &mut *self.found, decode: &self.decode };
                    *self.has_items = fields.next_value_seed(items)?;
                }
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Returns false for `null`.
struct Items<'a, T, F> {
    found: &'a mut Vec<T>,
    decode: &'a F,
}

impl<'de, T, F: Fn(Value) -> Option<T>> DeserializeSeed<'de> for Items<'_, T, F> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T, F: Fn(Value) -> Option<T>> Visitor<'de> for Items<'_, T, F> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        while let Some(item) = items.next_element()? {
            self.found.extend((self.decode)(item));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(body: &str) -> Result<Page<String>, PageFailure> {
        decode(body.as_bytes(), None, |object| object["name"].as_str().map(str::to_owned))
    }

    #[test]
    fn a_page_with_a_continue_token_is_not_the_last_one() {
        let page = names(r#"{"items":[{"name":"a"},{},{"name":"b"}],"metadata":{"continue":"c"}}"#);

        let Ok(Page::Further(found, cursor)) = page else { panic!("{page:?}") };
        assert_eq!((found, &*cursor.place), (vec!["a".into(), "b".into()], "c"));
    }

    #[test]
    fn a_list_whose_pages_have_no_end_is_a_failure() {
        let page = |cursor: Option<&Cursor>, token: &str| {
            let text = format!(r#"{{"items":[],"metadata":{{"continue":"{token}"}}}}"#);
            decode(text.as_bytes(), cursor, Some)
        };
        let Ok(Page::Further(_, first)) = page(None, "a") else { panic!("no first page") };

        let again = page(Some(&first), "a");
        let mut cursor = first;
        let pages = (0..2000).find(|number| match page(Some(&cursor), &number.to_string()) {
            Ok(Page::Further(_, next)) => {
                cursor = next;
                false
            }
            other => matches!(other, Err(PageFailure::NoEnd)),
        });

        assert!(matches!(again, Err(PageFailure::NoEnd)), "{again:?}");
        assert!(pages.is_some_and(|pages: u32| pages < 1000), "{pages:?}");
    }

    #[test]
    fn the_last_page_has_the_version_of_the_list() {
        for items in ["", r#""items":null,"#, r#""items":[],"#] {
            let text = format!(r#"{{{items}"metadata":{{"resourceVersion":"7","continue":""}}}}"#);
            let page = names(&text);

            let Ok(Page::Last(found, version)) = page else { panic!("{text}: {page:?}") };
            assert_eq!((found, version), (Vec::new(), "7".into()));
        }
    }

    #[test]
    fn what_is_no_list_is_not_an_empty_list() {
        for text in ["7", "[]", "{}", r#"{"items":{}}"#, r#"{"items":"a","metadata":{}}"#] {
            let page = names(text);

            assert!(matches!(page, Err(PageFailure::NotAList)), "{text}: {page:?}");
        }
    }

    #[test]
    fn a_truncated_page_shows_nothing() {
        for text in ["", r#"{"items":[{"name":"a"}"#, r#"{"items":[],"metadata":{}} x"#] {
            let page = names(text);

            assert!(matches!(page, Err(PageFailure::Malformed(_))), "{text}: {page:?}");
        }
    }
}
