//! The conformance suite: one check for each guarantee that every implementation of [`Sync`](crate::Sync) gives.
//!
//! The checks need two handles with different identities to one backend. They can run on a shared cluster, because they
//! use unique names and leave at most a free record of each name. Each takes a few seconds. They can also run in paused
//! time, and on a slow machine, because no check depends on speed.
//!
//! ```
//! use leasehold::{Memory, Options, conformance};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> leasehold::Result<()> {
//! let a = Memory::default();
//! let b = a.another(Options::default())?;
//! let pair = conformance::Pair::new(&a, &b).other("elsewhere");
//! for check in conformance::CHECKS {
//!     println!("{}", check.name());
//!     check.run(pair).await; // panics with the guarantee that does not hold
//! }
//! # Ok(())
//! # }
//! ```

mod candidates;
mod close;
mod elections;
mod input;
mod locks;
mod succession;
mod turns;

use std::{fmt, time::Duration};

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::{DynSync, Error, Guard, LockOptions, Result};

/// The maximum time of one check. It only ends a check that hangs: no check depends on speed.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Two handles to one backend.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    a: &'a DynSync,
    b: &'a DynSync,
    other: Option<&'a str>,
    cut: Option<&'a (dyn Fn(bool) + Send + std::marker::Sync)>,
    session: Option<Duration>,
}

impl<'a> Pair<'a> {
    /// Two handles with different identities and the same namespace and prefix.
    #[must_use]
    pub const fn new(a: &'a DynSync, b: &'a DynSync) -> Self {
        Self { a, b, other: None, cut: None, session: None }
    }

    /// Sets a second namespace that both handles may use. Without it, the checks that need one check nothing.
    #[must_use]
    pub const fn other(mut self, namespace: &'a str) -> Self {
        self.other = Some(namespace);
        self
    }

    /// Sets a function that disconnects the first handle from the backend (`true`) and connects it again (`false`).
    /// Without it, the checks of a holder that cannot renew check nothing.
    #[must_use]
    pub const fn cut(mut self, cut: &'a (dyn Fn(bool) + Send + std::marker::Sync)) -> Self {
        self.cut = Some(cut);
        self
    }

    /// Declares that both handles are sessions with this time to live. A lock then lives as long as its session, so the
    /// checks of the time to live of one lock check nothing, and the other checks use this one. Elections are queues in
    /// the namespace of the sessions, so the order of succession is checked.
    #[must_use]
    pub const fn session(mut self, ttl: Duration) -> Self {
        self.session = Some(ttl);
        self
    }

    /// The time to live that a lock has if it asks for `wanted`.
    fn ttl(&self, wanted: Duration) -> Duration {
        self.session.unwrap_or(wanted)
    }
}

impl fmt::Debug for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("a", &self.a).field("b", &self.b).finish_non_exhaustive()
    }
}

/// The check of one guarantee.
#[derive(Clone, Copy)]
pub struct Check {
    name: &'static str,
    run: for<'a> fn(Pair<'a>) -> BoxFuture<'a, ()>,
}

impl Check {
    /// The guarantee, in the form of a test name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Checks the guarantee on `pair`.
    ///
    /// # Panics
    ///
    /// If the guarantee does not hold. The message states the guarantee.
    pub async fn run(&self, pair: Pair<'_>) {
        let done = tokio::time::timeout(TIMEOUT, (self.run)(pair)).await;
        assert!(done.is_ok(), "{} hangs: it has not ended after {TIMEOUT:?}", self.name);
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// Runs all checks, one after the other.
///
/// # Panics
///
/// If a guarantee does not hold. The message states the guarantee.
pub async fn all(pair: Pair<'_>) {
    for check in CHECKS {
        tracing::info!(check = check.name, "checking");
        check.run(pair).await;
    }
}

macro_rules! checks {
    ($($module:ident { $($name:ident,)+ })+) => {
        /// All checks, so that a caller can report on each one by name.
        pub const CHECKS: &[Check] = &[$($(
            Check { name: stringify!($name), run: |pair| Box::pin($module::$name(pair)) },
        )+)+];
    };
}

checks! {
    input {
        a_handle_describes_itself,
        invalid_names_are_rejected,
        invalid_candidate_ids_are_rejected,
        invalid_namespaces_are_rejected,
        invalid_timings_are_rejected,
        a_rejected_call_leaves_no_candidate,
        every_valid_name_is_a_lock_of_its_own,
        every_valid_name_is_an_election_of_its_own,
        a_name_of_the_maximum_length_is_valid,
    }
    locks {
        a_held_lock_excludes_other_handles,
        a_held_lock_excludes_its_own_handle,
        one_attempt_acquires_a_free_lock,
        a_timeout_names_the_holder,
        a_released_lock_is_free,
        a_dropped_guard_releases_the_lock,
        a_tenure_ends_before_its_release_is_sent,
        a_waiter_acquires_a_released_lock,
        a_held_lock_is_renewed,
        a_kept_lock_is_held_until_unlock,
        unlock_ends_the_tenure_of_a_guard,
        only_the_holder_can_unlock,
        a_lock_uses_its_time_to_live,
        a_time_to_live_below_one_second_is_one_second,
        locks_are_independent,
        a_disconnected_holder_loses_the_lock_before_the_next_holder,
        a_waiter_waits_only_the_remaining_time_to_live,
    }
    turns {
        tasks_of_a_handle_acquire_in_order,
        tokens_grow_from_tenure_to_tenure,
        a_dropped_lock_future_leaves_no_waiter,
        a_dropped_lock_future_holds_nothing,
        a_timed_out_wait_leaves_no_waiter,
    }
    elections {
        the_first_candidate_leads,
        a_second_candidate_follows,
        resigning_releases_the_election,
        resigning_twice_succeeds,
        dropping_a_leader_releases_the_election,
        guards_of_one_leader_share_its_tenure,
        a_dropped_guard_steps_down_and_stays_a_candidate,
        run_resigns_after_the_work_has_ended,
        run_drops_the_work_after_resigning,
        run_drops_the_work_on_loss_and_runs_it_again,
        an_election_uses_its_time_to_live,
        elections_are_independent,
        locks_and_elections_share_names,
        the_primary_can_be_watched,
        the_status_can_be_watched_until_resigned,
    }
    candidates {
        members_are_listed_with_their_roles,
        members_are_listed_by_election,
        members_are_listed_by_namespace,
        a_candidate_uses_its_chosen_id,
        a_candidate_id_is_unique_in_an_election,
        a_resigned_candidate_is_not_listed,
        a_dropped_leader_future_leaves_no_candidate,
        a_watch_begins_with_the_current_state,
        a_watch_reports_each_change_in_order,
        a_watch_reports_only_its_election,
    }
    succession {
        a_payload_is_seen_by_every_observer,
        a_candidate_without_a_payload_has_none,
        a_payload_that_cannot_be_stored_is_rejected,
        candidates_succeed_in_the_order_in_which_they_came,
        a_resigned_leader_that_comes_again_is_the_last,
        a_lost_leader_is_followed_by_the_next_in_order,
        an_event_of_a_queue_names_the_place,
    }
    close {
        close_waits_until_dropped_locks_are_released,
        close_waits_until_dropped_candidates_are_removed,
        close_keeps_held_locks_and_the_handle_usable,
    }
}

/// A name that no other check and no other run uses.
fn unique(what: &str) -> String {
    format!("conformance-{what}-{}", Uuid::new_v4().simple())
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn patient() -> LockOptions {
    LockOptions::default()
}

fn once() -> LockOptions {
    LockOptions::default().try_once()
}

fn identity(sync: &DynSync) -> &str {
    sync.options().identity.as_deref().expect("a handle's own options name its identity")
}

/// The value of `result`, which must be a success.
#[track_caller]
fn must<T>(result: Result<T>, guarantee: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{guarantee}: {error}, {error:?}"),
    }
}

/// Asserts that the lock is held, and that the error names `holder`.
#[track_caller]
fn held_by(holder: &str, result: Result<Guard>, guarantee: &str) {
    match result {
        Err(Error::Held { holder: named, .. } | Error::Timeout { holder: named, .. }) => {
            assert_eq!(named, holder, "the error names the holder");
        }
        other => panic!("{guarantee}: {other:?}"),
    }
}
