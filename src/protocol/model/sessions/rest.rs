//! What must happen in the end: each caller that waits is granted the lock, and nothing of a caller that is gone stays.
//!
//! From a state, one continuation without further mishaps is followed: each request reaches the store and is answered,
//! each event arrives, each timer fires, each holder releases, and then time passes. A zombie is not stored any more:
//! the state in which it is stored is another state, from which the same is required.

use super::{
    Mishaps, TTL_TICKS,
    actions::Action,
    process::{Caller, Process},
    world::World,
};
use crate::protocol::queue::claim::Claim;

/// So many ttls are enough: three sessions may have to be ended, one after another, and each may be missing first.
const TTLS: u32 = 8;
/// More actions within one tick are a loop.
const BUSY: u32 = 300;

impl World {
    /// Nothing about the lock is under way.
    pub(super) fn is_quiet(&self) -> bool {
        let quiet = |process: &Process| process.request.is_none() && process.events.is_empty();
        self.processes.iter().all(quiet)
    }

    /// Whether the lock comes to rest.
    pub(super) fn comes_to_rest(&self) -> bool {
        let mut world = self.clone();
        world.left = Mishaps { releases: u8::MAX, ..Mishaps::NONE };
        world.zombies.clear();
        world.timeless = false;
        world.processes.iter_mut().for_each(|process| {
            process.claims = 0;
        });
        for _ in 0..TTLS * TTL_TICKS {
            let mut actions = 0;
            while let Some(action) = world.next_action() {
                world.act(&action);
                actions += 1;
                if actions > BUSY {
                    return false;
                }
            }
            // A violation of another rule is found in the state that has it.
            if world.is_at_rest() || world.violation.is_some() {
                return true;
            }
            world.act(&Action::Tick);
        }
        false
    }

    fn next_action(&self) -> Option<Action> {
        let mut actions = Vec::new();
        self.enabled_actions(&mut actions);
        actions.into_iter().find(|action| *action != Action::Tick)
    }

    /// No caller waits, and nothing of a live session is left.
    fn is_at_rest(&self) -> bool {
        let line = self.store.lock.as_ref().map(|stored| &stored.record.line);
        self.processes.iter().filter(|process| !process.stopped).all(|process| {
            let is_own = |claim: &Claim| claim.session == *process.heartbeat.id();
            let left = line.is_some_and(|line| {
                line.holders.iter().map(|holder| &holder.claim).chain(line.waiting()).any(is_own)
            });
            process.caller == Caller::Absent && !left
        })
    }
}
