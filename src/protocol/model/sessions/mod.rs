//! A model checker that drives the machines of sessions that ship: of two or three processes, each with its heartbeat,
//! its observers of other sessions, and its machine of one lock, which is exclusive, shared, or has slots.
//!
//! ```text
//!   bounds ──▶ Model ──action──▶ world ──input──▶ processes ──request──▶ store: one lock, the sessions
//!                                  └── rules: check each tenure that begins and each write that is stored
//! ```
//!
//! As in the model of the first protocol, each event that is possible in a state is tried. The number of each kind of
//! mishap is bounded ([`Mishaps`]); time, heartbeats and polls are not. What makes that finite:
//!
//! - Within the bounds of three processes that wait or share, no time passes ([`Bounds::timeless`]): these are about the
//!   order of claims and the capacity of the lock.
//! - Two states that differ only in when they are, or in how many writes came before, are one ([`canonical`]).
//! - Time passes in ticks. A ttl is two ticks on the faster clock, and a hold is two ticks on the slower one, so the clocks
//!   run apart by ten to nine, all that the hold allows. Pauses of a few seconds pass within a tick, because the ttl is a
//!   day.
//! - A process that runs does all that is due, and gets its answers and events, before time passes. Otherwise it is
//!   stopped, for any time, or its events are late by a tick: a mishap.
//! - A heartbeat, a read of the lock, and a request of an observer are sent, stored and answered in one step, unless they
//!   are slow: a mishap, after which they may reach the store and be answered at any later time, or never. Writes of the
//!   lock are always sent, stored and answered in steps of their own.
//! - A write whose sender has stopped to wait for it may be stored at any later time, as long as its base is the present
//!   version. The watch reports changes in order, and late.
//!
//! After each quiet state, the lock must come to rest ([`rest`]): that is how the model checks what must happen in the
//! end.
//!
//! # Not covered
//!
//! Four processes; three processes with late requests or deletions; several locks; single tries; foreign holders;
//! payloads of candidates; the end of a session by its owner; watches that miss an event, and the lists that make up
//! for it; stale reads; the collection of old sessions; copies of a process. What the task of a session does around the
//! machines is a copy ([`process`], `locks`), and the copy is compared with the task by eye only. The simulation of the
//! whole library runs the task.

mod actions;
mod canonical;
mod locks;
mod messages;
mod process;
mod rest;
mod rules;
mod store;
mod world;

use std::num::NonZeroU16;

use stateright::{Model, Property};

use self::{actions::Action, rules::Violation, world::World};
use super::{Bounded, check_all_states};
use crate::protocol::queue::claim::Mode;

/// A ttl on the faster clock, and a hold on the slower one, in ticks.
const TTL_TICKS: u32 = 2;

/// The size of the model.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Of each process: how its callers share the lock, and how many claims they make.
    callers: &'static [(Mode, u8)],
    /// How many more sessions each process begins after the loss of one.
    sessions: u8,
    mishaps: Mishaps,
    /// The first process holds the lock, and the second one waits for it, when the model begins.
    held: bool,
    /// Whether watches report what is stored.
    watched: bool,
    /// No time passes, except in the check that the lock comes to rest.
    timeless: bool,
}

/// How many events of each kind occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mishaps {
    /// A process is stopped, or its requests or events take longer than a tick.
    late: u8,
    /// A request is slow, or has no answer. A write may be stored at any later time.
    lost: u8,
    /// A holder releases the lock.
    releases: u8,
    /// A caller that waits gives up.
    cancels: u8,
    crashes: u8,
    lock_deletions: u8,
    session_deletions: u8,
}

impl Mishaps {
    const NONE: Self = Self {
        late: 0,
        lost: 0,
        releases: 0,
        cancels: 0,
        crashes: 0,
        lock_deletions: 0,
        session_deletions: 0,
    };
}

/// For every test run: two holders, one after the other, and a caller that gives up.
const SMALL: Bounds = Bounds {
    callers: &[(Mode::Exclusive, 1), (Mode::Exclusive, 1)],
    sessions: 1,
    mishaps: Mishaps { releases: 2, cancels: 1, ..Mishaps::NONE },
    held: false,
    watched: true,
    timeless: false,
};

/// A lock with two slots.
const SLOTS: Mode = Mode::Slots(NonZeroU16::new(2).expect("not zero"));

/// Three processes, no mishaps but releases, and no time.
const THREE: Bounds = Bounds {
    callers: &[(Mode::Exclusive, 1), (Mode::Exclusive, 1), (Mode::Exclusive, 1)],
    sessions: 0,
    mishaps: Mishaps { releases: 3, ..Mishaps::NONE },
    held: true,
    watched: true,
    timeless: true,
};

/// Three processes want a lock with two slots.
const THREE_OF_SLOTS: Bounds = Bounds { callers: &[(SLOTS, 1), (SLOTS, 1), (SLOTS, 1)], ..THREE };

/// An exclusive claim between two shared ones.
const BETWEEN_SHARED: Bounds = Bounds {
    callers: &[(Mode::Shared, 1), (Mode::Exclusive, 1), (Mode::Shared, 1)],
    mishaps: Mishaps { releases: 3, cancels: 1, ..Mishaps::NONE },
    ..THREE
};

/// Also in every test run: a holder and two that wait, a full queue of slots, and both modes. In the first bounds the
/// holder wants the lock again.
const SMALL_THREE: [Bounds; 3] = [
    Bounds {
        callers: &[(Mode::Exclusive, 2), (Mode::Exclusive, 1), (Mode::Exclusive, 1)],
        ..THREE
    },
    THREE_OF_SLOTS,
    BETWEEN_SHARED,
];

/// For `make model`: the same from the first claim on, when the lock does not exist; a lost request; and the crash of a
/// process, with time.
const FULL_THREE: [Bounds; 5] = [
    Bounds { held: false, ..THREE },
    Bounds { held: false, mishaps: Mishaps { releases: 1, ..Mishaps::NONE }, ..THREE_OF_SLOTS },
    Bounds { held: false, mishaps: Mishaps { releases: 1, ..Mishaps::NONE }, ..BETWEEN_SHARED },
    Bounds { held: false, mishaps: Mishaps { lost: 1, ..Mishaps::NONE }, ..THREE },
    Bounds { mishaps: Mishaps { crashes: 1, ..Mishaps::NONE }, timeless: false, ..THREE_OF_SLOTS },
];

/// Fewer states mean that the model does not try what it should.
const LEAST: usize = 30_000;
const LEAST_OF_THREE: usize = 300;

/// The first process holds the lock, and nothing happens to it.
const HELD: Bounds = Bounds { sessions: 0, mishaps: Mishaps::NONE, held: true, ..SMALL };

/// A request is lost, and the lock is deleted by hand.
const LOST_AND_DELETED: Bounds = Bounds {
    mishaps: Mishaps { lost: 1, lock_deletions: 1, ..Mishaps::NONE },
    held: false,
    ..HELD
};

/// A request is lost, and a process is stopped or its events are late.
const LATE_AND_LOST: Bounds =
    Bounds { mishaps: Mishaps { late: 1, lost: 1, ..Mishaps::NONE }, ..HELD };

/// For `make model`: crashes and deletions of sessions; lost requests, with and without watches; deletions of the lock;
/// processes that are stopped; and a second claim of the first process.
const FULL: [Bounds; 7] = [
    Bounds { mishaps: Mishaps { releases: 2, crashes: 1, ..Mishaps::NONE }, ..SMALL },
    Bounds {
        mishaps: Mishaps { crashes: 1, session_deletions: 1, ..Mishaps::NONE },
        held: true,
        ..SMALL
    },
    Bounds { mishaps: Mishaps { lost: 1, ..Mishaps::NONE }, ..HELD },
    Bounds { mishaps: Mishaps { lost: 1, cancels: 1, ..Mishaps::NONE }, watched: false, ..HELD },
    LOST_AND_DELETED,
    LATE_AND_LOST,
    Bounds {
        callers: &[(Mode::Exclusive, 2), (Mode::Exclusive, 1)],
        mishaps: Mishaps { releases: 2, ..Mishaps::NONE },
        ..HELD
    },
];

/// The first process claims again while its release is under way, and the second one joins meanwhile.
const AGAIN: Bounds = Bounds {
    callers: &[(Mode::Exclusive, 2), (Mode::Exclusive, 1)],
    mishaps: Mishaps { releases: 1, ..Mishaps::NONE },
    held: false,
    timeless: true,
    ..HELD
};

/// From few states to many. A mistake that breaks a rule breaks it within one of these, or within those that follow in
/// [`first_broken_rules`].
const NARROW: [Bounds; 8] = [
    HELD,
    AGAIN,
    Bounds {
        callers: &[(Mode::Exclusive, 0), (Mode::Exclusive, 1)],
        mishaps: Mishaps { lost: 1, cancels: 1, ..Mishaps::NONE },
        held: false,
        watched: false,
        ..HELD
    },
    SMALL,
    Bounds { mishaps: Mishaps { session_deletions: 1, ..Mishaps::NONE }, ..HELD },
    Bounds { mishaps: Mishaps { late: 1, ..Mishaps::NONE }, ..HELD },
    Bounds {
        callers: &[(Mode::Exclusive, 2), (Mode::Exclusive, 1)],
        mishaps: Mishaps { releases: 2, ..Mishaps::NONE },
        ..HELD
    },
    Bounds {
        callers: &[(Mode::Exclusive, 2), (Mode::Exclusive, 1)],
        sessions: 1,
        mishaps: Mishaps { crashes: 1, ..Mishaps::NONE },
        ..HELD
    },
];

const ONE_HOLDER: &str =
    "no two processes hold the lock that exclude each other, unless the lock was deleted";
const IN_RECORD: &str = "a process that holds the lock is a holder in the record, in the same slot";
const CAPACITY: &str =
    "no two holders in the record exclude each other, and each has a slot of the lock";
const TOKENS: &str = "tokens grow in the order of the grants";
const ORDER: &str = "the queue keeps its order, and only an ended session is passed over";
const ENDED: &str = "no session is ended while its owner counts on it";
const REVIVED: &str = "a session that is over is never written again by its owner";
const REST: &str = "each caller is granted the lock, and nothing is left behind";

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.enabled_actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(&action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn is(violation: Violation, world: &World) -> bool {
            world.violation == Some(violation)
        }
        vec![
            Property::always(ONE_HOLDER, |_, world: &World| {
                world.deleted || !world.has_two_holders()
            }),
            Property::always(IN_RECORD, |_, world: &World| {
                world.deleted || world.believers_are_holders()
            }),
            Property::always(CAPACITY, |_, world| !is(Violation::Capacity, world)),
            Property::always(TOKENS, |_, world| !is(Violation::Token, world)),
            Property::always(ORDER, |_, world| !is(Violation::Order, world)),
            Property::always(ENDED, |_, world| !is(Violation::Ended, world)),
            Property::always(REVIVED, |_, world| !is(Violation::Revived, world)),
            Property::always(REST, |_, world: &World| !world.is_quiet() || world.comes_to_rest()),
        ]
    }
}

/// The rules, by the names that the patches in `tests/mutations` use.
const RULES: [(&str, &str); 8] = [
    ("session-one-holder", ONE_HOLDER),
    ("session-in-record", IN_RECORD),
    ("session-capacity", CAPACITY),
    ("session-tokens", TOKENS),
    ("session-order", ORDER),
    ("session-ended", ENDED),
    ("session-revived", REVIVED),
    ("session-rest", REST),
];

/// The rules that the first bad state breaks, within the first bounds that have one. The last two bounds have a million
/// states, so only `make model` visits all of them.
pub(super) fn first_broken_rules() -> Vec<&'static str> {
    let bounds = NARROW.into_iter().chain(SMALL_THREE);
    let bounds = bounds.chain([LOST_AND_DELETED, LATE_AND_LOST]);
    bounds.map(broken_rules).find(|rules| !rules.is_empty()).unwrap_or_default()
}

/// The same, within bounds of which all states are visited in seconds.
pub(super) fn narrow_broken_rules() -> Vec<&'static str> {
    NARROW
        .into_iter()
        .chain(SMALL_THREE)
        .map(broken_rules)
        .find(|rules| !rules.is_empty())
        .unwrap_or_default()
}

impl Bounded for Bounds {}

fn broken_rules(bounds: Bounds) -> Vec<&'static str> {
    super::broken_rules(bounds, &RULES)
}

#[test]
fn no_interleaving_violates_a_rule() {
    check_all_states(SMALL, LEAST);
}

#[test]
fn no_interleaving_of_three_processes_violates_a_rule() {
    for bounds in SMALL_THREE {
        check_all_states(bounds, LEAST_OF_THREE);
    }
}

/// `make model`.
#[test]
#[ignore = "needs an optimised build: `make model`"]
fn no_interleaving_violates_a_rule_within_larger_bounds() {
    for bounds in FULL.into_iter().chain(FULL_THREE) {
        check_all_states(bounds, LEAST);
    }
}
