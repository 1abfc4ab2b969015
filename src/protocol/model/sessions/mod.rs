//! A model checker that drives the machines of sessions.

mod canonical;
mod locks;
mod process;
mod rest;
mod rules;
mod store;
mod world;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::{
    rules::Violation,
    world::{Action, World},
};
use crate::protocol::queue::claim::Mode;

/// A ttl on the faster clock, and a hold on the slower one, in ticks.
const TTL_TICKS: u32 = 2;

/// The size of the model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How many claims the callers of each process make.
    claims: [u8; 2],
    modes: [Mode; 2],
    /// How many more sessions each process begins after the loss of one.
    sessions: u8,
    mishaps: Mishaps,
    /// The first process holds the lock, and the second one waits for it, when the model begins.
    held: bool,
    /// Whether watches report what is stored.
    watched: bool,
}

/// How many mishaps of each kind occur.
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
    claims: [1, 1],
    modes: [Mode::Exclusive, Mode::Exclusive],
    sessions: 1,
    mishaps: Mishaps { releases: 2, cancels: 1, ..Mishaps::NONE },
    held: false,
    watched: true,
};

/// The first process holds the lock, and nothing happens to it.
const HELD: Bounds = Bounds { sessions: 0, mishaps: Mishaps::NONE, held: true, ..SMALL };

/// For `make model`.
const FULL: [Bounds; 1] = [SMALL];

/// From few states to many. A mistake that breaks a rule breaks it within one of these.
pub(super) const NARROW: [Bounds; 9] = [
    HELD,
    Bounds {
        claims: [0, 1],
        mishaps: Mishaps { lost: 1, cancels: 1, ..Mishaps::NONE },
        held: false,
        watched: false,
        ..HELD
    },
    SMALL,
    Bounds { mishaps: Mishaps { session_deletions: 1, ..Mishaps::NONE }, ..HELD },
    Bounds { mishaps: Mishaps { late: 1, ..Mishaps::NONE }, ..HELD },
    Bounds { claims: [2, 1], mishaps: Mishaps { releases: 2, ..Mishaps::NONE }, ..HELD },
    Bounds {
        claims: [2, 1],
        sessions: 1,
        mishaps: Mishaps { crashes: 1, ..Mishaps::NONE },
        ..HELD
    },
    Bounds { mishaps: Mishaps { lock_deletions: 1, ..Mishaps::NONE }, held: false, ..HELD },
    Bounds { mishaps: Mishaps { late: 1, lost: 1, ..Mishaps::NONE }, ..HELD },
];

const ONE_HOLDER: &str = "at most one process holds the lock, unless the lock was deleted";
const IN_RECORD: &str = "a process that holds the lock is a holder in the record";
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
            Property::always(TOKENS, |_, world| !is(Violation::Token, world)),
            Property::always(ORDER, |_, world| !is(Violation::Order, world)),
            Property::always(ENDED, |_, world| !is(Violation::Ended, world)),
            Property::always(REVIVED, |_, world| !is(Violation::Revived, world)),
            Property::always(REST, |_, world: &World| !world.is_quiet() || world.comes_to_rest()),
        ]
    }
}

/// The rules, by the names that the patches in `tests/mutations` use.
const RULES: [(&str, &str); 7] = [
    ("session-one-holder", ONE_HOLDER),
    ("session-in-record", IN_RECORD),
    ("session-tokens", TOKENS),
    ("session-order", ORDER),
    ("session-ended", ENDED),
    ("session-revived", REVIVED),
    ("session-rest", REST),
];

/// The rules that the first bad state within `bounds` breaks.
pub(super) fn broken_rules(bounds: Bounds) -> Vec<&'static str> {
    let checker = bounds.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken = |(_, rule): &&(&str, &'static str)| checker.discovery(rule).is_some();
    RULES.iter().filter(broken).map(|(name, _)| *name).collect()
}

/// Visits every state within `bounds`.
fn check_all_states(bounds: Bounds) {
    let begun = std::time::Instant::now();
    let checker = bounds.checker().threads(2).spawn_bfs();
    if let Ok(path) = std::env::var("NARROW") {
        for (i, b) in NARROW.into_iter().enumerate() {
            if path.split(',').any(|n| n == i.to_string()) {
                let t = std::time::Instant::now();
                let c = b.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
                eprintln!(
                    "narrow {i}: {:?} states {} {} {:?}",
                    RULES
                        .iter()
                        .filter(|r| c.discovery(r.1).is_some())
                        .map(|r| r.0)
                        .collect::<Vec<_>>(),
                    c.state_count(),
                    c.unique_state_count(),
                    t.elapsed()
                );
            }
        }
        return;
    }
    if let Ok(path) = std::env::var("PATH_OF") {
        let c = bounds
            .checker()
            .finish_when(stateright::HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        for (n, p) in c.discoveries() {
            eprintln!("{n}");
            for (_, a) in p.clone().into_vec() {
                eprintln!("  {a:?}");
            }
            let st = p.into_states();
            for s in st.iter().rev().take(path.parse().unwrap()).rev() {
                eprintln!("{:#?}", s);
            }
        }
        return;
    }
    let checker = checker.join();
    let (all, different, depth) =
        (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    eprintln!(
        "{all} states, {different} different, up to {depth} actions deep, {:?}: {bounds:?}",
        begun.elapsed()
    );
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn no_interleaving_violates_a_rule() {
    check_all_states(SMALL);
}

#[test]
#[ignore = "x"]
fn trial() {
    let n =
        |name: &str, default: u8| std::env::var(name).ok().map_or(default, |v| v.parse().unwrap());
    check_all_states(Bounds {
        claims: [n("C0", 1), n("C1", 1)],
        sessions: n("SE", 1),
        mishaps: Mishaps {
            late: n("LA", 0),
            lost: n("LO", 0),
            releases: n("RE", 2),
            cancels: n("CA", 0),
            crashes: n("CR", 0),
            lock_deletions: n("DL", 0),
            session_deletions: n("DS", 0),
        },
        held: n("HE", 0) == 1,
        watched: n("WA", 1) == 1,
        ..SMALL
    });
}
