//! What the engine knows of one Lease object.

use std::{fmt, num::NonZeroU64, str::FromStr, sync::Arc, time::Duration};

/// What a record that does not say how long it lives is taken to say: client-go's default.
const UNSAID_TTL: Duration = Duration::from_secs(15);

/// Which write made a record what it is: unique per write of all machines of all processes.
///
/// By it a machine recognises its own write on a later read, whatever became of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Nonce {
    /// Random per machine.
    pub(crate) machine: u64,
    /// Counts the machine's writes.
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

/// One state of one object: `resourceVersion` and uid. Both stand in every conditional write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) number: NonZeroU64,
    pub(crate) uid: Arc<str>,
}

/// What a record says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    /// Who holds it; `None` is free.
    pub(crate) holder: Option<Arc<str>>,
    /// Which write made it so; `None` where another program wrote it.
    pub(crate) nonce: Option<Nonce>,
    /// How long others must see it unchanged before they may take it; `None` where unsaid or nonsense.
    pub(crate) ttl: Option<Duration>,
    /// How often the holder changed. For people; never a token.
    pub(crate) transitions: i32,
    /// Whom the coordinated leader election of Kubernetes would rather see here.
    pub(crate) preferred: Option<Arc<str>>,
    /// The version of the write that acquired it, as its holder says in later writes.
    pub(crate) token: Option<NonZeroU64>,
}

impl Record {
    pub(crate) fn is_free(&self) -> bool {
        self.holder.is_none()
    }

    /// How long it lives unrenewed.
    pub(crate) fn lives(&self) -> Duration {
        self.ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(UNSAID_TTL)
    }

    /// The transitions to write when the holder changes: wraps to zero, since the field is an int32 that must not be negative.
    pub(crate) fn next_transition(&self) -> i32 {
        self.transitions.checked_add(1).filter(|&n| n > 0).unwrap_or(0)
    }
}

/// A record as the backend stored it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Versioned {
    pub(crate) version: Version,
    pub(crate) record: Record,
    /// How long ago it was renewed, by wall clocks: for lists that people read, never decided on.
    pub(crate) age: Option<Duration>,
    /// The whole object as its backend knows it, so that a write preserves what it does not own.
    pub(crate) whole: Arc<serde_json::Value>,
}

impl Versioned {
    /// The token of the tenure that the record shows, if it shows one.
    pub(crate) fn token(&self) -> Option<NonZeroU64> {
        // Another program's writes do not say which of them acquired it.
        self.record.holder.as_ref().and(self.record.nonce)?;
        Some(self.record.token.unwrap_or(self.version.number))
    }
}

/// A conditional write: on exactly `base`, or on there being no object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) base: Option<Arc<Versioned>>,
    pub(crate) kind: WriteKind,
    pub(crate) record: Record,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WriteKind {
    /// A tenure begins.
    Claim,
    /// A tenure goes on.
    Renew,
    /// A tenure has ended. The object stays, unless it is a candidate's, which is deleted.
    Free,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_survives_its_text() {
        let nonce = Nonce { machine: 0xdead_beef, write: u64::MAX };
        assert_eq!(nonce.to_string().parse(), Ok(nonce));
        for text in ["", "-", "x-1", "1", "1-", "1-x", "-1", "00-00-00"] {
            assert!(text.parse::<Nonce>().is_err(), "{text}");
        }
    }

    #[test]
    fn transitions_never_leave_what_the_field_can_hold() {
        for (now, next) in [(0, 1), (i32::MAX - 1, i32::MAX), (i32::MAX, 0), (-7, 0), (i32::MIN, 0)]
        {
            assert_eq!(Record { transitions: now, ..Record::default() }.next_transition(), next);
        }
    }
}
