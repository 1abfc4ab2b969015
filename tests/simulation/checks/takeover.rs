//! C4: every change is conditional on the state before it, and takes only what is free, one's own, or was unchanged for as
//! long as it says.

use super::Violation;
use crate::scenario::SEC;

/// A record that somebody writes over.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub(crate) holder: String,
    /// Seconds that it says it lives.
    pub(crate) lives: u64,
    /// When it became what it is.
    pub(crate) since: u64,
}

/// What one of our processes wrote.
#[derive(Clone, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) me: &'a str,
    /// The rate of its clock, in parts of a million.
    pub(crate) rate: u64,
    /// When it was sent.
    pub(crate) sent: u64,
    /// Whether the request said version and uid of what it writes over.
    pub(crate) conditional: bool,
    pub(crate) before: Option<Before>,
    /// The holder in what was written; empty if it was freed or deleted.
    pub(crate) holder: &'a str,
}

impl Change<'_> {
    pub(crate) fn check(&self) -> Option<Violation> {
        let wrong = |what: &str| Some(Violation::new("C4", format!("{what}: {self:?}")));
        if !self.holder.is_empty() && self.holder != self.me {
            return wrong("writes another's name");
        }
        let before = self.before.as_ref()?;
        if !self.conditional {
            return wrong("writes without a condition");
        }
        if before.holder.is_empty() || before.holder == self.me {
            return None;
        }
        if self.holder.is_empty() {
            return wrong("frees what another holds");
        }
        let waited = self.sent.saturating_sub(before.since) * self.rate / 1_000_000;
        // Clocks are read in whole milliseconds.
        let lives = before.lives * SEC - 2_000;
        if waited < lives { wrong("takes over too soon") } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takeover(sent: u64) -> Change<'static> {
        let before = Before { holder: "a".into(), lives: 15, since: 0 };
        Change {
            me: "b",
            rate: 1_000_000,
            sent,
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
    fn theft_is_found() {
        assert!(takeover(14 * SEC).check().is_some(), "too soon");
        assert!(Change { rate: 900_000, ..takeover(16 * SEC) }.check().is_some(), "a slow clock");
        assert!(Change { conditional: false, ..takeover(20 * SEC) }.check().is_some(), "blind");
        assert!(Change { holder: "", ..takeover(20 * SEC) }.check().is_some(), "frees another's");
        assert!(Change { holder: "c", ..takeover(20 * SEC) }.check().is_some(), "for another");
    }
}
