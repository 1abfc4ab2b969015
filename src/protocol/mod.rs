//! The protocol, as a machine without input or output.
//!
//! One [`Machine`](machine::Machine) is one contender for one record. It is told what happened
//! ([`Input`](machine::Input)) and when, and answers with the one thing to do next
//! ([`Step`](machine::Step)). It knows no clock, no network and no task.
//!
//! ```text
//!                claim                      ours, unanswered or edited beside us
//!        idle ──────────▶ contend ◀──────────────────────────┐
//!         ▲                 │  free, absent, or unchanged     │
//!         │                 ▼  for its own ttl                │
//!       settle            claim written ──▶ conflict, unknown ──▶ read
//!         ▲                 │ stored, or recognised on a read
//!         │ release, loss   ▼
//!         └────────────── tenure: held ─▶ in doubt ─▶ lost at its deadline, answered or not
//! ```
//!
//! `machine.rs` holds the words and the state; below it, `answers.rs` and `observe.rs` take in, `plan.rs` says
//! what to do next, `pace.rs` how soon, and `standing.rs` answers what the floors below ask. `tests/` goes
//! through the rules one by one, `sim/` through everything at once, `model/` through all that can happen to two.
//!
//! Invariants, each with a test that was seen to fail on a seeded bug (`src/bugs.rs`):
//!
//! - A tenure's deadline is the send instant of a write that is known to be stored, plus the hold.
//! - A record is taken over only if it is free, or this machine's own, or was seen unchanged (same uid and
//!   version) on this machine's clock for as long as the record itself says.
//! - A version below the highest one processed is ignored, wherever it comes from.
//! - Nothing but a stored write of this very machine begins a tenure: identity and nonce decide, never identity alone.
//! - A machine that sleeps for ever has nothing left to do, and no input makes it send requests without a pause.
//! - At most one request is in flight; a write that was given up may still commit, is remembered while it may, and
//!   is recognised or outdated.

pub(crate) mod machine;
#[cfg(test)]
mod model;
pub(crate) mod record;
#[cfg(test)]
mod tests;
