//! The kinds of fault, and how often each happened.

use std::fmt;

macro_rules! faults {
    ($($name:ident),* $(,)?) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault { $($name),* }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    RequestLost, ReplyLost, ResetBefore, ResetAfter, Unauthorized, Forbidden, SpuriousConflict, TooMany,
    LeaderChanged, Unavailable, TimedOut, TimedOutAfterCommit, SlowRequest, SlowReply, Garbled, Zombie,
    WatchSilent, WatchCut, WatchReset, WatchPartialLine, WatchGoneAtStart, WatchGoneEvent, WatchDuplicate,
    Compacted, StaleRead, Paused, PausedLong, Crashed, Redeployed, Partitioned, Outage, ServerRestart,
    RateBeyond, WallJump, EditBeside, Preferred, Deleted, Seized, FreedByHand, TtlEdited, ForeignElector,
    Cancelled, Abandoned, SameIdentity, Severed, ConnectionsLost, SlowFirstRequest, SlowConnection, SlowCredential,
    DeadAddress, Webhook, LongWebhook, SlowAnswer, ManyNames, BusyNeighbour,
    SessionDeleted, SessionEnded, SessionClosed, LabelRemoved, WatchLags, StaleList, OtherMode,
}

/// How often each kind of fault happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults([u64; Fault::ALL.len()]);

impl Default for Faults {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Faults {
    pub(crate) const fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, n) in self.0.iter_mut().zip(other.0) {
            *sum += n;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// C8: the kinds of fault that never happened.
    pub(crate) fn missing(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|&fault| self.0[fault as usize] == 0).collect()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, n) in Fault::ALL.iter().zip(self.0) {
            write!(f, "\n    {n:>9}  {fault:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_kind_that_never_happened_is_reported() {
        for missing in Fault::ALL.iter().copied() {
            let mut faults = Faults::default();
            for fault in Fault::ALL.iter().filter(|fault| **fault != missing) {
                faults.count(*fault);
            }
            assert_eq!(faults.missing(), [missing]);
        }
        assert_eq!(Faults::default().missing(), Fault::ALL);
    }
}
