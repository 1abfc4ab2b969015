//! C4: every change is conditional on the state before it, and takes only what is free, one's own, or was unchanged for as
//! long as it says.

use super::Violation;
use crate::scenario::SEC;

/// A record that somebody writes over.
#[derive(Clone, Debug)]
pub(crate) struct PreviousRecord {
    pub(crate) holder: String,
    /// Seconds that it says it lives.
    pub(crate) ttl: u64,
    /// When it became what it is.
    pub(crate) since: u64,
}

/// What one of our processes wrote.
#[derive(Clone, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) identity: &'a str,
    /// The rate of its clock, in parts of a million.
    pub(crate) rate: u64,
    /// When it was sent.
    pub(crate) sent_at: u64,
    /// Whether the request said version and uid of what it writes over.
    pub(crate) conditional: bool,
    pub(crate) before: Option<PreviousRecord>,
    /// The holder in what was written; empty if it was freed or deleted.
    pub(crate) holder: &'a str,
}

impl Write<'_> {
    pub(crate) fn check(&self) -> Option<Violation> {
        let violation = |what: &str| Some(Violation::new("C4", format!("{what}: {self:?}")));
        if !self.holder.is_empty() && self.holder != self.identity {
            return violation("writes another's name");
        }
        let before = self.before.as_ref()?;
        if !self.conditional {
            return violation("writes without a condition");
        }
        if before.holder.is_empty() || before.holder == self.identity {
            return None;
        }
        if self.holder.is_empty() {
            return violation("frees what another holds");
        }
        let waited = self.sent_at.saturating_sub(before.since) * self.rate / 1_000_000;
        // Clocks are read in whole milliseconds.
        let ttl = before.ttl * SEC - 2_000;
        if waited < ttl { violation("takes over too soon") } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takeover(sent_at: u64) -> Write<'static> {
        let before = PreviousRecord { holder: "a".into(), ttl: 15, since: 0 };
        Write {
            identity: "b",
            rate: 1_000_000,
            sent_at,
            conditional: true,
            before: Some(before),
            holder: "b",
        }
    }

    #[test]
    fn an_expired_record_may_be_taken() {
        assert_eq!(takeover(15 * SEC).check(), None);
    }

    #[test]
    fn a_write_against_the_takeover_rules_is_a_violation() {
        assert!(takeover(14 * SEC).check().is_some(), "too soon");
        assert!(Write { rate: 900_000, ..takeover(16 * SEC) }.check().is_some(), "a slow clock");
        assert!(Write { conditional: false, ..takeover(20 * SEC) }.check().is_some(), "blind");
        assert!(Write { holder: "", ..takeover(20 * SEC) }.check().is_some(), "frees another's");
        assert!(Write { holder: "c", ..takeover(20 * SEC) }.check().is_some(), "for another");
    }
}
