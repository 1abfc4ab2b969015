//! Sessions in a namespace of their own: their names say so.
//!
//! A process that looks for a session in the wrong namespace finds none, and would end it after its time to live. So the
//! name of a session in a namespace of its own has a tag of that namespace, and a session is observed only by sessions
//! with the same tag.

use super::{ALPHABET, SessionId};

/// The length of a tag: 50 bits.
const TAG: usize = 10;

impl SessionId {
    /// This name, which is new, for a session in a namespace of its own.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        let mut name = format!("{self}-");
        let hash = hash(namespace);
        for digit in 0..TAG {
            let index = usize::try_from(hash >> (5 * digit) & 31).unwrap_or_default();
            name.push(char::from(ALPHABET[index]));
        }
        Self(name.into())
    }

    /// A new name for the next session of the same process.
    pub(crate) fn successor(&self, random: [u64; 2]) -> Self {
        let next = Self::new(self.ttl(), random);
        match self.tag() {
            Some(tag) => Self(format!("{next}-{tag}").into()),
            None => next,
        }
    }

    /// The tag of its namespace, if it is in one of its own.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.0.splitn(3, '-').nth(2)
    }
}

/// Whether `text` can be a tag.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() == TAG && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// FNV-1a, with 64 bits: every process and every version must compute the same.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plain() -> SessionId {
        SessionId::new(Duration::from_secs(15), [1, 2])
    }

    #[test]
    fn the_tag_is_that_of_the_namespace_and_stays_with_the_next_session() {
        let shop = plain().in_namespace("shop-sessions");
        let next = shop.successor([3, 4]);

        assert_eq!(plain().tag(), None);
        assert_eq!(plain().successor([3, 4]).tag(), None);
        assert_eq!(shop.tag(), next.tag());
        assert_ne!(shop, next);
        assert_ne!(shop.tag(), plain().in_namespace("other").tag());
        assert_eq!(shop.ttl(), Duration::from_secs(15));
    }

    #[test]
    fn the_tag_of_a_namespace_never_changes() {
        let tag = plain().in_namespace("sessions").tag().map(str::to_owned);
        assert_eq!(
            tag.as_deref(),
            Some("m52bequxn5"),
            "processes of different versions share locks"
        );
    }

    #[test]
    fn a_name_with_a_tag_is_parsed_and_a_wrong_tag_is_no_session() {
        let name = plain().in_namespace("sessions").to_string();

        assert_eq!(SessionId::parse(&name).map(|id| id.to_string()), Some(name.clone()));
        for wrong in [format!("{name}a"), format!("{}-", plain()), format!("{}-ABC", plain())] {
            assert_eq!(SessionId::parse(&wrong), None, "{wrong}");
        }
    }
}
