//! The lease protocol as a state machine: no I/O, no clock, no tasks.
//!
//! A [`Machine`](machine::Machine) is one contender for one record. Its driver calls
//! [`step(now, input, random)`](machine::Machine::step) with everything that happens: an answer, a watch event, a
//! timer, a command. The random number becomes the nonce of a write. Each step returns a [`Step`](machine::Step), which
//! is the one thing to do next, and a [`Status`](machine::Status), which is all that the rest of the library knows of
//! the machine. The same inputs at the same times lead to the same steps, so tests, a model checker and a simulator can
//! drive the machine that ships.
//!
//! ```text
//!   driver (runtime::contender)                        machine                               store
//!      │  claim, release, timer, watch event  ──────▶  step(now, input)
//!      │  ◀── Read, Write(base, record), Sleep(until), Done; Status
//!      │  ────────────────────────── read, or write on a version and a uid ─────────────────▶  │
//!      │  ◀───────────────── found or absent; stored, conflict, or no answer ────────────────  │
//!      │  the answer  ──────────────────────────────▶  step(now, input)
//! ```
//!
//! | file | content |
//! |---|---|
//! | [`record`] | what the machine knows of one record: record, version, nonce, write |
//! | [`machine`] | the state, the inputs and the steps; its docs explain the states and one tenure |
//! | `machine/responses` | what an answer to the machine's own request means |
//! | `machine/observe` | what a state of the record means, from an answer or from a watch |
//! | `machine/decide` | what to do next |
//! | `machine/not_before` | the time before which no other tenure may begin, as one contender states it |
//! | `machine/backoff` | how long to pause after a failure, a conflict or a lost race |
//! | `machine/rivals` | which races are left open to a contender that is farther from the server |
//! | `machine/status` | what a step reports |
//! | `not_before` | how both machines judge that time, the only use of a wall clock |
//! | `tests` | each rule of `src/docs/protocol.md` that concerns the machine, as a test named after the rule |
//! | `model` | every interleaving of two machines, within bounds |
//! | [`session`] | one heartbeat for any number of locks: the machines of a session and of its observers |
//! | [`queue`] | locks that are held by sessions, first come, first served |
//!
//! # Invariants
//!
//! Each line names a test that fails if the line is not true.
//!
//! - **The hold counts from before the write was sent.** The deadline of a tenure is the instant at which a write that
//!   is known to be stored was sent, plus the hold
//!   (`holding::the_hold_counts_from_the_moment_before_the_write_was_sent`).
//! - **Only a stored write of this machine begins a tenure.** The identity and the nonce decide, never the identity
//!   alone (`unknown::a_record_with_the_same_identity_but_another_nonce_is_foreign`).
//! - **A copy of a process is foreign from its next write on.** A record is this machine's own only if the machine
//!   remembers the nonce, and each nonce is random (`copies::of_two_copies_that_renew_for_an_hour_one_is_held`).
//! - **A foreign record is claimed only when free or expired.** Expired means: the same uid and version on this
//!   machine's clock for the ttl that the record itself states, and one read after that
//!   (`waiting::a_record_is_claimed_after_a_ttl_unchanged_and_a_read`).
//! - **Versions never go back.** A state below the highest version processed is ignored, from any source
//!   (`waiting::a_late_older_event_is_ignored`, `waiting::a_stale_read_is_ignored_and_repeated_with_backoff`).
//! - **A tenure ends at its deadline, locally.** No answer, no event and no timer is needed
//!   (`holding::a_tenure_ends_at_its_deadline_even_while_a_request_is_in_flight`).
//! - **A release never changes the record of another holder**
//!   (`releasing::a_release_never_changes_the_record_of_a_successor`).
//! - **A write without an answer stays unresolved until it is recognised or can no longer be stored**
//!   (`releasing::an_unanswered_withdrawn_claim_is_made_impossible_by_a_newer_version`).
//! - **A wrong wall clock delays no contender for longer than the length that the record states**
//!   (`not_before::a_contender_whose_clock_is_behind_waits_for_the_length_from_its_first_sight_on`).
//! - **The machine waits for one request at a time, and requests stay under a bound**, for any sequence of inputs
//!   (`random_inputs::random_inputs_never_exceed_the_request_bound`).
//! - **No two machines hold the record at the same time** while no process deletes it and the clocks stay within the
//!   margin (`model::no_interleaving_violates_a_rule`).

use std::time::Duration;

pub(crate) mod machine;
#[cfg(test)]
mod model;
pub(crate) mod not_before;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod session;
#[cfg(test)]
mod tests;

/// The longest pause that a backend can request while nothing is held that such a pause could lose.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
