//! What the machine knows of one Lease object.

use std::{fmt, num::NonZeroU64, str::FromStr, sync::Arc, time::Duration};

/// The ttl of a record that states none: the default of client-go, the most likely writer of such a record.
const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// A number that identifies one write among all writes of all machines in all processes.
///
/// A machine recognises its own write by the nonce when it reads the record, even if the answer to the write was lost.
/// The identity alone would not do, because two processes can be started with the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Nonce {
    /// Random per machine.
    pub(crate) machine: u64,
    /// Counts the writes of the machine.
    pub(crate) write: u64,
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.machine, self.write)
    }
}

impl FromStr for Nonce {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let (machine, write) = s.split_once('-').ok_or(())?;
        let machine = u64::from_str_radix(machine, 16).map_err(|_| ())?;
        Ok(Self { machine, write: write.parse().map_err(|_| ())? })
    }
}

/// One state of one object: `resourceVersion` and uid.
///
/// Every conditional write carries both. With the version alone, a write to an object that was deleted meanwhile would
/// create the object again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) number: NonZeroU64,
    pub(crate) uid: Arc<str>,
}

/// The fields of a Lease that the protocol uses.
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
    /// The version of the write that began the tenure, as its holder states it in later writes.
    pub(crate) token: Option<NonZeroU64>,
}

impl Record {
    pub(crate) fn is_free(&self) -> bool {
        self.holder.is_none()
    }

    /// The ttl, or the default if the record states none.
    pub(crate) fn lives(&self) -> Duration {
        self.ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(DEFAULT_TTL)
    }

    /// The transitions to write when the holder changes.
    ///
    /// Wraps to zero, because the field is an int32 that the API server requires not to be negative.
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
    pub(crate) whole: Arc<serde_json::Value>,
}

impl Versioned {
    /// The token of the tenure that the record shows, if any.
    pub(crate) fn token(&self) -> Option<NonZeroU64> {
        // A record that another program wrote does not say which of its writes began the tenure.
        self.record.holder.as_ref().and(self.record.nonce)?;
        Some(self.record.token.unwrap_or(self.version.number))
    }
}

/// A conditional write: an update of exactly `base`, or a create if `base` is `None`.
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
    /// Makes the record free. The object stays, except for the record of a candidate, which is deleted.
    Free,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_parsed_from_its_own_text_and_from_no_other() {
        let nonce = Nonce { machine: 0xdead_beef, write: u64::MAX };
        assert_eq!(nonce.to_string().parse(), Ok(nonce));
        for text in ["", "-", "x-1", "1", "1-", "1-x", "-1", "00-00-00"] {
            assert!(text.parse::<Nonce>().is_err(), "{text}");
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
