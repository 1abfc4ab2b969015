//! What the machine knows of one record.

use std::{fmt, num::NonZeroU64, str::FromStr, sync::Arc, time::Duration};

use crate::api::record::NotBefore;

/// The ttl of a record that states none: the default of client-go, the most likely writer of such a record.
const DEFAULT_TTL: Duration = Duration::from_secs(15);
/// The longest ttl of a record, 68 years: the largest `leaseDurationSeconds` that an API server accepts. Larger than
/// what any elector writes, and so small that deadlines can be multiples of it.
#[cfg(any(feature = "kubernetes", feature = "etcd"))]
const MAX_TTL: Duration = Duration::from_secs(i32::MAX as u64);

/// A random number that identifies one write among all writes of all processes.
///
/// A machine recognises its own write by the nonce when it reads the record, even if the answer to the write was lost.
/// The identity alone would not do, because two processes can be started with the same identity. A number per machine
/// and a counter would not do either, because a copy of a running process has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Nonce(pub(crate) u64);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Nonce {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        // The parser of numbers alone accepts a sign and fewer digits.
        let digits = s.len() == 16 && s.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(s, 16).ok().filter(|_| digits).map(Self).ok_or(())
    }
}

/// One state of one object: its version, as the `resourceVersion`, and its uid.
///
/// Every conditional write carries both. With the version alone, a write to an object that was deleted meanwhile would
/// create the object again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) number: NonZeroU64,
    pub(crate) uid: Arc<str>,
}

/// The fields of a record that the protocol uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    /// The identity of the holder; `None` means free.
    pub(crate) holder: Option<Arc<str>>,
    /// The write that made the record what it is; `None` if another program wrote it.
    pub(crate) nonce: Option<Nonce>,
    /// How long other processes must see the record unchanged before they may claim it; `None` if absent or invalid.
    pub(crate) ttl: Option<Duration>,
    /// The number of changes of holder. For people; never a token, because it starts again after a deletion.
    pub(crate) transitions: i32,
    /// The holder that the coordinated leader election of Kubernetes prefers.
    pub(crate) preferred: Option<Arc<str>>,
    /// The version of the write that began the tenure, as its holder states it in later writes. The write itself cannot
    /// state it. There it is known only to a backend or a watch that saw the write.
    pub(crate) token: Option<NonZeroU64>,
    /// Before which time no other tenure may begin, as the holder states it from its claim on. The release leaves it.
    pub(crate) not_before: Option<Arc<NotBefore>>,
    /// The text that a candidate was started with. For people and programs to read; nothing is decided by it.
    pub(crate) payload: Option<Arc<str>>,
}

impl Record {
    pub(crate) fn is_free(&self) -> bool {
        self.holder.is_none()
    }

    /// The ttl of a record that states this many seconds. More than 68 years count as 68 years.
    #[cfg(any(feature = "kubernetes", feature = "etcd"))]
    pub(crate) fn stated_ttl(secs: Option<u64>) -> Option<Duration> {
        secs.filter(|&secs| secs > 0).map(|secs| Duration::from_secs(secs).min(MAX_TTL))
    }

    /// The ttl, or the default if the record states none.
    pub(crate) fn lives(&self) -> Duration {
        self.ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(DEFAULT_TTL)
    }

    /// The transitions to write when the holder changes.
    ///
    /// Wraps to zero, because the field is an int32 that Kubernetes requires not to be negative.
    pub(crate) fn next_transition(&self) -> i32 {
        self.transitions.checked_add(1).filter(|&n| n > 0).unwrap_or(0)
    }
}

/// A record as its backend stored it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Versioned {
    pub(crate) version: Version,
    pub(crate) record: Record,
    /// How long ago the record was renewed, by wall clocks. For lists that people read; never used for a decision.
    pub(crate) age: Option<Duration>,
    /// The whole object as its backend knows it, so that a write preserves the fields that it does not own.
    pub(crate) whole: Whole,
}

/// A whole object as its backend knows it; empty if the backend has no objects. Only the backend reads the text.
///
/// As text, because a handle remembers the objects of thousands of names, and a tree of values takes five times the
/// memory of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Whole(Arc<str>);

#[cfg_attr(
    not(any(feature = "etcd", feature = "kubernetes")),
    expect(dead_code, reason = "records in this process are no objects")
)]
impl Whole {
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Versioned {
    /// The token of the tenure that the record shows, if there is a tenure and its token is known.
    ///
    /// The version of a record without a stated token proves nothing: another program may have edited the record since.
    /// A record that another program wrote does not say either which of its writes began the tenure.
    pub(crate) fn token(&self) -> Option<NonZeroU64> {
        self.record.holder.as_ref().and(self.record.nonce).and(self.record.token)
    }

    /// `next`, the state after this one, with what this one and `unbroken` prove of its token.
    ///
    /// A state with the same nonce belongs to the same write, so its token is the same. In an `unbroken` watch no state
    /// between the two is missing. Then a state with another nonce is the write of that nonce itself, and no later
    /// edit. If it states no token, it is a claim, and its version is the token. A state without a nonce is no proof,
    /// because an edit can hide a nonce and show it again. Neither is a state that comes late, after a newer one.
    pub(crate) fn followed_by(&self, next: &Arc<Self>, unbroken: bool) -> Arc<Self> {
        let claimed = match (self.record.nonce, next.record.nonce) {
            (Some(before), Some(now)) if before == now => self.token(),
            (Some(_), Some(_)) if unbroken && self.version.number < next.version.number => {
                Some(next.version.number)
            }
            _ => None,
        };
        let token = claimed.filter(|_| self.version.uid == next.version.uid);
        token.map_or_else(|| Arc::clone(next), |token| next.with_unstated_token(token))
    }

    /// This state, known to be the first one of its object. If a claim created the object, its version is the token.
    #[cfg(any(test, feature = "etcd", feature = "kubernetes"))]
    pub(crate) fn as_created(self: &Arc<Self>) -> Arc<Self> {
        match self.record.nonce {
            Some(_) => self.with_unstated_token(self.version.number),
            None => Arc::clone(self),
        }
    }

    /// This state, with the token that `same`, another sight of it, has.
    pub(crate) fn with_token_of(self: &Arc<Self>, same: &Self) -> Arc<Self> {
        let token = same.token().filter(|_| self.token().is_none() && self.version == same.version);
        token.map_or_else(|| Arc::clone(self), |token| self.with_unstated_token(token))
    }

    /// This state with `token`, if it shows a tenure and states no token itself.
    fn with_unstated_token(self: &Arc<Self>, token: NonZeroU64) -> Arc<Self> {
        if self.record.is_free() || self.record.token.is_some() {
            return Arc::clone(self);
        }
        let record = Record { token: Some(token), ..self.record.clone() };
        Arc::new(Self { record, ..(**self).clone() })
    }

    /// Whether `later`, a state of the same object with the same holder, belongs to the same tenure.
    ///
    /// A tenure of which only the claim is known has no known token. It is the same tenure if the claim is the same, or
    /// if the token that a renewal states is not newer than the state that showed the claim.
    pub(crate) fn is_same_tenure(&self, later: &Self) -> bool {
        match (self.token(), later.token()) {
            (Some(token), Some(later)) => token == later,
            (None, Some(token)) => {
                let same = self.record.nonce == later.record.nonce;
                self.record.nonce.is_some() && (same || token <= self.version.number)
            }
            (_, None) => self.record.nonce == later.record.nonce,
        }
    }
}

/// A conditional write: an update or a deletion of exactly `base`, or a create if `base` is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) base: Option<Arc<Versioned>>,
    pub(crate) kind: WriteKind,
    pub(crate) record: Record,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WriteKind {
    /// Begins a tenure.
    Claim,
    /// Extends a tenure.
    Renew,
    /// Makes the record free. It stays.
    Free,
    /// Deletes the record. There is always a base, and nothing of the new record is stored.
    Delete,
}

impl WriteKind {
    /// The write ends a tenure, or makes sure that none begins.
    pub(crate) const fn is_release(self) -> bool {
        matches!(self, Self::Free | Self::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_parsed_from_its_own_text_and_from_no_other() {
        for nonce in [0, 0xdead_beef, u64::MAX].map(Nonce) {
            assert_eq!(nonce.to_string().parse(), Ok(nonce));
        }
        for text in
            ["", "-", "1", "+00000000000000f", "00000000deadbeef-1", "000000000000000x", "0\u{e9}"]
        {
            assert!(text.parse::<Nonce>().is_err(), "{text}");
        }
    }

    /// A state of one object, held unless `holder` is empty.
    fn state(version: u64, holder: &str, nonce: Option<u64>, token: Option<u64>) -> Arc<Versioned> {
        let number = |number| NonZeroU64::new(number).unwrap();
        let record = Record {
            holder: Some(holder).filter(|holder| !holder.is_empty()).map(Into::into),
            nonce: nonce.map(Nonce),
            token: token.map(number),
            ..Record::default()
        };
        let version = Version { number: number(version), uid: "u".into() };
        Arc::new(Versioned { version, record, age: None, whole: Whole::default() })
    }

    /// The token of `next` after `before`, in an unbroken watch and otherwise.
    fn tokens(before: &Versioned, next: &Arc<Versioned>) -> [Option<u64>; 2] {
        [true, false]
            .map(|unbroken| before.followed_by(next, unbroken).token().map(NonZeroU64::get))
    }

    #[test]
    fn the_version_of_a_claim_is_its_token_only_after_another_nonce_in_an_unbroken_watch() {
        let claim = state(9, "a", Some(2), None);

        assert_eq!(claim.token(), None);
        assert_eq!(tokens(&state(8, "", Some(1), None), &claim), [Some(9), None], "released");
        assert_eq!(tokens(&state(8, "b", Some(1), Some(5)), &claim), [Some(9), None], "expired");
        assert_eq!(tokens(&state(10, "", Some(3), None), &claim), [None; 2], "a late event");
        assert_eq!(
            tokens(&state(8, "", None, None), &claim),
            [None; 2],
            "released by another program"
        );
        assert_eq!(
            tokens(&state(8, "a", None, None), &claim),
            [None; 2],
            "the nonce may have been hidden"
        );
    }

    #[test]
    fn the_version_of_a_create_is_its_token() {
        let token = |found: &Arc<Versioned>| found.as_created().token().map(NonZeroU64::get);

        assert_eq!(token(&state(9, "a", Some(2), None)), Some(9));
        assert_eq!(token(&state(9, "a", Some(2), Some(7))), Some(7), "a backup was restored");
        assert_eq!(token(&state(9, "a", None, None)), None, "another program created it");
        assert_eq!(token(&state(9, "", Some(2), None)), None);
    }

    #[test]
    fn an_edit_keeps_the_token_that_is_known() {
        let (known, unknown) = (state(9, "a", Some(2), Some(9)), state(9, "a", Some(2), None));
        let edited = state(10, "a", Some(2), None);

        assert_eq!(tokens(&known, &edited), [Some(9); 2]);
        assert_eq!(tokens(&unknown, &edited), [None; 2], "the claim may be older than both");
        assert_eq!(unknown.with_token_of(&known).token(), known.token());
        assert_eq!(edited.with_token_of(&known).token(), None);
    }

    #[test]
    fn a_token_that_is_stated_stays_and_a_free_record_has_none() {
        let renewed = state(12, "a", Some(3), Some(9));

        assert_eq!(tokens(&state(11, "a", Some(2), None), &renewed), [Some(9); 2]);
        assert_eq!(tokens(&renewed, &state(13, "", Some(4), None)), [None; 2]);
    }

    #[test]
    fn a_tenure_whose_token_becomes_known_is_the_same_tenure() {
        let claim = state(9, "a", Some(2), None);
        let [edited, renewed] = [state(10, "a", Some(2), None), state(11, "a", Some(3), Some(9))];
        let [next, next_renewed] =
            [state(12, "a", Some(4), None), state(13, "a", Some(5), Some(12))];

        for (old, new) in [(&claim, &edited), (&claim, &renewed), (&edited, &renewed)] {
            assert!(old.is_same_tenure(new), "{old:?} {new:?}");
        }
        assert!(next.is_same_tenure(&next_renewed));
        for old in [&claim, &edited, &renewed] {
            assert!(!old.is_same_tenure(&next) && !old.is_same_tenure(&next_renewed), "{old:?}");
        }
    }

    #[test]
    fn the_next_transition_wraps_to_zero_and_is_never_negative() {
        for (now, next) in [(0, 1), (i32::MAX - 1, i32::MAX), (i32::MAX, 0), (-7, 0), (i32::MIN, 0)]
        {
            assert_eq!(Record { transitions: now, ..Record::default() }.next_transition(), next);
        }
    }
}
