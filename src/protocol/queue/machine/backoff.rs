//! Pauses after conflicts and failures.

use std::time::Duration;

use super::{
    Failure, LockMachine, part,
    unresolved::{Basis, Unresolved},
};
use crate::{protocol::MAX_RETRY_AFTER, util::clock::Moment};

/// The first pause after a conflict is up to this long, and each further one up to twice as long.
const CONFLICT_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause after a conflict. Longer pauses let a claim starve while others keep coming.
const MAX_CONFLICT_PAUSE: Duration = Duration::from_millis(256);
/// So many conflicts in a row are answered with another write at once by a session that learns of them from its watch.
/// If many processes claim at one instant, each conflict is a claim that is in the queue then. Only a program that edits the
/// record without a rest causes many more.
const AT_ONCE: u32 = 32;
/// The first pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// How long a holder waits for the event that reports a write which came before its own, before it reads. An event
/// arrives within 2 ms, and a read costs the server a request.
const EVENT_PAUSE: Duration = Duration::from_millis(5);

impl LockMachine {
    /// Another write came first.
    pub(super) fn conflicted(&mut self, now: Moment, random: u64, request: &Unresolved) {
        // An event may have brought a newer state than the one that the request was conditional on.
        let is_known = self.record().is_some_and(|found| request.basis.is_past(found));
        if !is_known {
            self.outdated = true;
            self.failed_writes = 0;
            if matches!(request.basis, Basis::Turn { .. }) && !self.is_held() {
                (self.joins.turned, self.joins.contended) = (true, true);
            }
        }
        let mut before = self.conflicts;
        self.conflicts = before.saturating_add(1);
        // A holder learns what came first from its watch, and others wait for its release.
        if is_known || self.expects_events() {
            if before < AT_ONCE {
                if !is_known {
                    self.event_until = now + EVENT_PAUSE;
                }
                return;
            }
            before -= AT_ONCE;
            // Without events, what is known now is outdated after the pause.
            self.outdated |= !self.expects_events();
        }
        self.call_ends_pause = false;
        let longest = CONFLICT_PAUSE * (1 << before.min(7));
        self.pause_until = now + part(longest.min(MAX_CONFLICT_PAUSE), random);
    }

    pub(super) fn read_failed(&mut self, now: Moment, random: u64, failure: Failure) {
        self.back_off(now, random, failure, self.failures);
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn write_failed(&mut self, now: Moment, random: u64, failure: Failure) {
        self.back_off(now, random, failure, self.failed_writes);
        self.failed_writes = self.failed_writes.saturating_add(1);
    }

    fn back_off(&mut self, now: Moment, random: u64, failure: Failure, before: u32) {
        (self.outdated, self.call_ends_pause) = (true, failure.refused);
        let longest = self.me.ttl() / 3;
        let doubled = (FAILURE_PAUSE * (1 << before.min(16))).min(longest);
        let pause = if failure.refused { longest } else { doubled };
        let requested = failure.retry_after.min(MAX_RETRY_AFTER);
        self.pause_until = now + requested + pause / 2 + part(pause / 2, random);
    }

    /// The watch of this session reports each change of the record, because the session holds it.
    pub(super) fn expects_events(&self) -> bool {
        self.record().is_some_and(|found| {
            found.record.line.holders.iter().any(|holder| holder.claim.session == self.me)
        })
    }
}
