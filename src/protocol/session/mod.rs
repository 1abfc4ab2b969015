//! A session: one heartbeat record for any number of locks.
//!
//! The locks of a session are not renewed. They are held while the session is alive, and a session is over only when
//! its record says so: nothing but a conditional write ends it.
//!
//! | file | content |
//! |---|---|
//! | [`heartbeat`] | the session of this process: create once, renew, doubt, loss |
//! | [`namespace`] | sessions in a namespace of their own |
//! | [`observer`] | the session of another process, until it is known to be over |

use std::{fmt, sync::Arc, time::Duration};

use super::record::{Version, Whole};

pub(crate) mod heartbeat;
mod namespace;
pub(crate) mod observer;
#[cfg(test)]
mod tests;

/// The alphabet of the random part of a name: base 32, lower case, as a DNS-1123 name and a label key allow.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The length of the random part: 100 bits.
const RANDOM: usize = 20;
/// The longest time to live of a session: a crashed process blocks its locks for this long.
const MAX_TTL: u64 = 86_400;

/// The name of a session: `s<ttl>-<random>`, or `s<ttl>-<random>-<tag>` in a namespace of its own.
///
/// The name states the time to live, because every process must know it also when the record is gone. It cannot be
/// edited. A name is used for one record only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(Arc<str>);

impl SessionId {
    /// A new name. Only the lower 50 bits of each number are used.
    pub(crate) fn new(ttl: Duration, random: [u64; 2]) -> Self {
        let mut name = format!("s{}-", ttl.as_secs().clamp(1, MAX_TTL));
        for number in random {
            for digit in 0..RANDOM / 2 {
                let index = usize::try_from(number >> (5 * digit) & 31).unwrap_or_default();
                name.push(char::from(ALPHABET[index]));
            }
        }
        Self(name.into())
    }

    /// `None` if `text` is not the name of a session, and so of a holder that is no session.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (ttl, rest) = text.strip_prefix('s')?.split_once('-')?;
        let (random, tag) = rest.split_once('-').map_or((rest, None), |(r, tag)| (r, Some(tag)));
        let canonical = !ttl.starts_with('0') && ttl.bytes().all(|byte| byte.is_ascii_digit());
        let ttl: u64 = ttl.parse().ok().filter(|_| canonical)?;
        let fits = (1..=MAX_TTL).contains(&ttl)
            && random.len() == RANDOM
            && random.bytes().all(|byte| ALPHABET.contains(&byte))
            && tag.is_none_or(namespace::is_tag);
        fits.then(|| Self(text.into()))
    }

    /// How long other processes must see the record unchanged before they may end the session.
    pub(crate) fn ttl(&self) -> Duration {
        let secs = self.0[1..].split('-').next().and_then(|ttl| ttl.parse().ok());
        Duration::from_secs(secs.unwrap_or(MAX_TTL))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_arc(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as its backend stored it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored<T> {
    pub(crate) version: Version,
    pub(crate) record: T,
    /// The whole object as its backend knows it, so that a write preserves the fields that it does not own.
    pub(crate) whole: Whole,
}

/// The record of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionRecord {
    /// The name of the session; `None` in a session that was ended.
    pub(crate) holder: Option<Arc<str>>,
    /// A random number for each renewal. It makes each renewal a new version, because a write without a change is none,
    /// and a copy of this process does not take it for a renewal of its own.
    pub(crate) mark: i32,
    /// The identity of the process, for people.
    pub(crate) identity: Arc<str>,
}

impl SessionRecord {
    /// The record of `id` before its first renewal.
    pub(crate) fn new(id: &SessionId, identity: Arc<str>) -> Self {
        Self { holder: Some(id.to_arc()), mark: 0, identity }
    }

    /// The session was ended, for good.
    pub(crate) const fn is_over(&self) -> bool {
        self.holder.is_none()
    }

    /// Another process created it for a session whose record was missing. No process renews it.
    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
    pub(crate) fn is_placeholder(&self) -> bool {
        *self.identity == *observer::PLACEHOLDER
    }

    fn renewed(&self, random: u64) -> Self {
        // The field is an int32 that Kubernetes requires not to be negative.
        let mark = i32::try_from(random % (1 << 31)).unwrap_or_default();
        let mark = if mark == self.mark { mark ^ 1 } else { mark };
        Self { mark, ..self.clone() }
    }

    pub(crate) fn ended(&self) -> Self {
        Self { holder: None, ..self.clone() }
    }
}

/// What a request about a session returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SessionAnswer {
    /// A read, and what it found.
    Found(Option<Arc<Stored<SessionRecord>>>),
    /// A write was stored.
    Written(Arc<Stored<SessionRecord>>),
    /// The record is not the one that the write was conditional on, or exists already, or is gone.
    Conflict,
    /// No answer, or one that leaves the outcome unknown.
    Failed,
}
