//! C4: every write is conditional on the state before it. It takes only a record that is free, or its own, or that
//! did not change for the ttl in it.

use leasehold_test_support::Violation;

use crate::scenario::SEC;

/// The record that a write replaces.
#[derive(Clone, Debug)]
pub(crate) struct PreviousRecord {
    pub(crate) holder: String,
    /// The ttl in the record, in seconds.
    pub(crate) ttl: u64,
    /// When this state was stored.
    pub(crate) since: u64,
}

/// A write by one of the simulated processes.
#[derive(Clone, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) identity: &'a str,
    /// The rate of the writer's clock, in millionths of true time.
    pub(crate) rate: u64,
    /// When the request was sent.
    pub(crate) sent_at: u64,
    /// Whether the request named the version and the uid of the record.
    pub(crate) conditional: bool,
    pub(crate) before: Option<PreviousRecord>,
    /// The holder after the write; empty if the record was released or deleted.
    pub(crate) holder: &'a str,
}

impl Write<'_> {
    pub(crate) fn check(&self) -> Option<Violation> {
        let violation = |what: &str| Some(Violation::new("C4", format!("{what}: {self:?}")));
        if !self.holder.is_empty() && self.holder != self.identity {
            return violation("writes another identity");
        }
        let before = self.before.as_ref()?;
        if !self.conditional {
            return violation("writes without a condition");
        }
        if before.holder.is_empty() || before.holder == self.identity {
            return None;
        }
        if self.holder.is_empty() {
            return violation("releases a record that another process holds");
        }
        let waited = self.sent_at.saturating_sub(before.since) * self.rate / 1_000_000;
        // Clocks are read in whole milliseconds.
        let ttl = before.ttl * SEC - 2_000;
        if waited < ttl { violation("takes over before the ttl has passed") } else { None }
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
        let is_violation =
            |write: Write<'_>| write.check().is_some_and(|found| found.check == "C4");
        let late = || takeover(20 * SEC);
        assert!(is_violation(takeover(14 * SEC)), "too soon");
        assert!(is_violation(Write { rate: 900_000, ..takeover(16 * SEC) }), "a slow clock");
        assert!(is_violation(Write { conditional: false, ..late() }), "unconditional");
        assert!(is_violation(Write { holder: "", ..late() }), "releases another holder's record");
        assert!(is_violation(Write { holder: "c", ..late() }), "writes another identity");
    }
}
