//! A model checker that drives the machines of sessions.

mod canonical;
mod locks;
mod process;
mod rest;
mod rules;
mod store;
mod world;

use stateright::{Checker, Model, Property};

use self::{
    rules::Violation,
    world::{Action, World},
};
use crate::protocol::queue::claim::Mode;

/// The size of the model.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The length of a ttl in ticks.
    ttl_ticks: u32,
    /// How many claims the callers of each process make.
    claims: [u8; 2],
    modes: [Mode; 2],
    /// How many more sessions each process begins after the loss of one.
    sessions: u8,
    mishaps: Mishaps,
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
    cancels: u8,
    crashes: u8,
    lock_deletions: u8,
    session_deletions: u8,
}

impl Mishaps {
    const NONE: Self = Self {
        late: 0,
        lost: 0,
        cancels: 0,
        crashes: 0,
        lock_deletions: 0,
        session_deletions: 0,
    };
}

/// For every test run.
const SMALL: Bounds = Bounds {
    ttl_ticks: 2,
    claims: [1, 1],
    modes: [Mode::Exclusive, Mode::Exclusive],
    sessions: 1,
    mishaps: Mishaps::NONE,
    watched: true,
};

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
            Property::always(IN_RECORD, |_, world: &World| world.deleted || world.believers_are_holders()),
            Property::always(TOKENS, |_, world| !is(Violation::Token, world)),
            Property::always(ORDER, |_, world| !is(Violation::Order, world)),
            Property::always(ENDED, |_, world| !is(Violation::Ended, world)),
            Property::always(REVIVED, |_, world| !is(Violation::Revived, world)),
            Property::always(REST, |_, world: &World| !world.is_quiet() || world.comes_to_rest()),
        ]
    }
}

/// Visits every state within `bounds`.
fn check_all_states(bounds: Bounds) {
    let begun = std::time::Instant::now();
    let checker = bounds.checker().threads(2).spawn_bfs();
    if let Ok(path) = std::env::var("PATH_OF") { let c = bounds.checker().finish_when(stateright::HasDiscoveries::AnyFailures).spawn_bfs().join(); for (n, p) in c.discoveries() { eprintln!("{n}"); for (_, a) in p.clone().into_vec() { eprintln!("  {a:?}"); } let st = p.into_states(); for s in st.iter().rev().take(path.parse().unwrap()).rev() { eprintln!("{:#?}", s); } } return; }
    let checker = checker.join();
    let (all, different, depth) =
        (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    eprintln!("{all} states, {different} different, up to {depth} actions deep, {:?}: {bounds:?}", begun.elapsed());
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
    let n = |name: &str, default: u8| std::env::var(name).ok().map_or(default, |v| v.parse().unwrap());
    check_all_states(Bounds {
        ttl_ticks: n("TT", 2).into(),
        claims: [n("C0", 1), n("C1", 1)],
        sessions: n("SE", 1),
        mishaps: Mishaps { late: n("LA", 0), lost: n("LO", 0), cancels: n("CA", 0), crashes: n("CR", 0), lock_deletions: n("DL", 0), session_deletions: n("DS", 0) },
        watched: n("WA", 1) == 1,
        ..SMALL
    });
}
