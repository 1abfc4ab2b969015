//! One call of `lock`, as the record of the lock states it.

use std::{fmt, num::NonZeroU16, str::FromStr};

use crate::protocol::{record::Nonce, session::SessionId};

/// How a holder shares the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// With no other holder.
    #[default]
    Exclusive,
    /// With other shared holders.
    Shared,
    /// One of so many slots.
    Slots(NonZeroU16),
}

impl Mode {
    /// Claims of the two modes may be in one queue.
    pub(crate) fn mixes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Slots(one), Self::Slots(two)) => one == two,
            (Self::Slots(_), _) | (_, Self::Slots(_)) => false,
            _ => true,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str("exclusive"),
            Self::Shared => f.write_str("shared"),
            Self::Slots(slots) => write!(f, "{slots} slots"),
        }
    }
}

/// One call of `lock`. As text: `SESSION/NONCE`, and then `/shared` or `/slots=N`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) session: SessionId,
    pub(crate) nonce: Nonce,
    pub(crate) mode: Mode,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.session, self.nonce)?;
        match self.mode {
            Mode::Exclusive => Ok(()),
            Mode::Shared => f.write_str("/shared"),
            Mode::Slots(slots) => write!(f, "/slots={slots}"),
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Claim {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('/');
        let session = parts.next().and_then(SessionId::parse).ok_or(())?;
        let nonce = parts.next().ok_or(())?.parse()?;
        let mode = match parts.next() {
            None => Mode::Exclusive,
            Some("shared") => Mode::Shared,
            Some(slots) => {
                Mode::Slots(slots.strip_prefix("slots=").and_then(|n| n.parse().ok()).ok_or(())?)
            }
        };
        if parts.next().is_some() { Err(()) } else { Ok(Self { session, nonce, mode }) }
    }
}

/// A claim that was granted. As text: the claim, and `/slot=N` if the lock has slots.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) claim: Claim,
    /// Zero if the lock has no slots.
    pub(crate) slot: u16,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt(f)?;
        match self.claim.mode {
            Mode::Slots(_) => write!(f, "/slot={}", self.slot),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Holder {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (claim, slot) = match text.rsplit_once("/slot=") {
            Some((claim, slot)) => (claim.parse::<Claim>()?, Some(slot.parse().map_err(drop)?)),
            None => (text.parse::<Claim>()?, None),
        };
        match (claim.mode, slot) {
            (Mode::Slots(slots), Some(slot)) if slot < slots.get() => Ok(Self { claim, slot }),
            (Mode::Exclusive | Mode::Shared, None) => Ok(Self { claim, slot: 0 }),
            _ => Err(()),
        }
    }
}
