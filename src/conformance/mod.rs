//! What every implementation of [`Sync`](crate::Sync) must do: each guarantee as a check of its own.
//!
//! The checks need two handles with identities of their own to one backend. They use names that nobody
//! else uses, leave nobody behind (at most a free record of each name), take seconds each, and hold on a
//! slow machine too, so that they can run on a shared cluster as well as in paused time.
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
//!     check.run(pair).await; // panics, and says which guarantee was broken
//! }
//! # Ok(())
//! # }
//! ```

mod candidates;
mod close;
mod elections;
mod input;
mod locks;
mod turns;

use std::{fmt, time::Duration};

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::{DynSync, Error, Guard, LockOptions, Result};

/// After this long something hangs; no check depends on how fast anything is.
const HANGS: Duration = Duration::from_secs(120);

/// Two handles to one backend.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    a: &'a DynSync,
    b: &'a DynSync,
    other: Option<&'a str>,
    cut: Option<&'a (dyn Fn(bool) + Send + std::marker::Sync)>,
}

impl<'a> Pair<'a> {
    /// Two handles with different identities and the same namespace and prefix.
    #[must_use]
    pub const fn new(a: &'a DynSync, b: &'a DynSync) -> Self {
        Self { a, b, other: None, cut: None }
    }

    /// A second namespace that both may use. Without it the checks that need one check nothing.
    #[must_use]
    pub const fn other(mut self, namespace: &'a str) -> Self {
        self.other = Some(namespace);
        self
    }

    /// Cuts the first handle off from the backend (`true`) and joins it again (`false`). Without it
    /// the checks of what happens to a holder that cannot renew check nothing.
    #[must_use]
    pub const fn cut(mut self, cut: &'a (dyn Fn(bool) + Send + std::marker::Sync)) -> Self {
        self.cut = Some(cut);
        self
    }
}

impl fmt::Debug for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("a", &self.a).field("b", &self.b).finish_non_exhaustive()
    }
}

/// One guarantee, checked.
#[derive(Clone, Copy)]
pub struct Check {
    name: &'static str,
    run: for<'a> fn(Pair<'a>) -> BoxFuture<'a, ()>,
}

impl Check {
    /// The guarantee, as a name for a test.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Checks it on `pair`.
    ///
    /// # Panics
    ///
    /// If it does not hold, with the guarantee in words.
    pub async fn run(&self, pair: Pair<'_>) {
        let done = tokio::time::timeout(HANGS, (self.run)(pair)).await;
        assert!(done.is_ok(), "{} hangs: not done after {HANGS:?}", self.name);
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// Runs every check, one after the other.
///
/// # Panics
///
/// If one does not hold, with the guarantee in words.
pub async fn all(pair: Pair<'_>) {
    for check in CHECKS {
        tracing::info!(check = check.name, "checking");
        check.run(pair).await;
    }
}

macro_rules! checks {
    ($($module:ident { $($name:ident,)+ })+) => {
        /// Every check, to report on each by name.
        pub const CHECKS: &[Check] = &[$($(
            Check { name: stringify!($name), run: |pair| Box::pin($module::$name(pair)) },
        )+)+];
    };
}

checks! {
    input {
        a_handle_says_what_it_is,
        names_that_cannot_be_used_are_refused,
        ids_that_cannot_be_used_are_refused,
        namespaces_that_cannot_be_used_are_refused,
        times_to_live_that_cannot_be_used_are_refused,
        what_was_refused_leaves_nothing,
        any_other_name_can_be_locked_and_is_its_own,
        any_other_name_can_be_led_and_is_listed,
        the_longest_name_can_be_used,
    }
    locks {
        a_held_lock_is_nobody_elses,
        a_held_lock_is_not_its_own_handles_twice,
        a_free_lock_is_taken_by_one_try,
        a_wait_ends_with_the_name_of_the_holder,
        a_released_lock_is_free,
        a_dropped_guard_releases,
        a_guard_is_lost_as_soon_as_its_release_begins,
        a_waiter_gets_what_is_released,
        a_held_lock_is_renewed,
        a_kept_lock_is_held_until_unlocked,
        unlocking_ends_a_guard_in_hand,
        nobody_unlocks_what_they_do_not_hold,
        the_time_to_live_of_a_lock_is_heeded,
        a_time_to_live_below_a_second_is_a_second,
        locks_are_independent,
        a_holder_cut_off_has_lost_before_the_next_one_holds,
        a_waiter_waits_what_remains_and_no_more,
    }
    turns {
        tasks_of_a_handle_take_turns_in_order,
        tokens_grow_from_tenure_to_tenure,
        a_dropped_lock_leaves_no_waiter,
        a_dropped_lock_leaves_nothing_held,
        a_wait_that_is_over_leaves_no_waiter,
    }
    elections {
        the_first_candidate_leads,
        a_second_candidate_follows,
        resigning_frees_the_lead,
        resigning_twice_is_no_error,
        dropping_a_leader_frees_the_lead,
        who_shares_a_tenure_shares_its_guard,
        dropping_the_guard_steps_down_and_stands_on,
        work_is_run_while_leading_and_its_end_resigns,
        work_is_dropped_when_the_lead_ends,
        work_is_dropped_on_loss_and_run_again,
        the_time_to_live_of_a_lead_is_heeded,
        elections_are_independent,
        locks_and_elections_share_their_names,
        the_primary_can_be_observed,
        the_status_can_be_followed_to_its_end,
    }
    candidates {
        members_are_listed_with_their_roles,
        members_are_listed_by_election,
        members_are_listed_by_namespace,
        a_candidate_has_the_id_it_chose,
        a_candidate_stands_once,
        a_candidate_that_resigned_is_not_listed,
        a_candidacy_dropped_before_it_stands_leaves_nobody,
        a_watch_begins_with_the_present_state,
        a_watch_tells_who_comes_leads_and_goes,
        a_watch_of_one_election_heeds_no_other,
    }
    close {
        closing_waits_until_what_was_dropped_is_undone,
        closing_waits_until_a_dropped_candidacy_is_withdrawn,
        closing_leaves_what_is_held_and_the_handle_as_they_are,
    }
}

/// A name that nobody else uses.
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

/// What must have worked.
#[track_caller]
fn must<T>(result: Result<T>, guarantee: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{guarantee}: {error}, {error:?}"),
    }
}

/// The lock must be held by somebody else, who is named.
#[track_caller]
fn held_by(holder: &str, result: Result<Guard>, guarantee: &str) {
    match result {
        Err(Error::Held { holder: named, .. } | Error::Timeout { holder: named, .. }) => {
            assert_eq!(named, holder, "the error names the holder");
        }
        other => panic!("{guarantee}: {other:?}"),
    }
}
