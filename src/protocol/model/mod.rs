//! Every interleaving of two contenders for one record: the machine that ships, driven by a model checker.
//!
//! The simulation looks at a few lives for long; this looks at all of them, for as long as its [`Bounds`] say. In
//! each state anything may happen that is possible at all: a request reaches the store, its reply arrives or is lost, its
//! sender gives up and it is stored all the same, later or never; a process sleeps through any span of time, crashes and
//! begins anew under its old name, gives back what it holds and wants it again; the record is deleted; a watch tells of it.
//!
//! ```text
//!   bounds ─▶ Model ──action──▶ world ──input──▶ Machine, twice ──request──▶ the record
//!                                 └── laws look at each belief that begins and at each write that is stored
//! ```
//!
//! What is left out, so that there is an end to it:
//!
//! - Time passes in ticks, the same for both: a time to live is `Bounds::lives` of them on the faster clock, a hold exactly as
//!   many on the slower. So the clocks run apart by what the shortest margin that is accepted leaves, ten to nine, and one tick
//!   less of waiting or one more of holding is a violation. What takes less than a tick happens within it, in any order.
//! - The time to live is hours, so that what jitter adds to a wait, half a second at most, is the faster clock's to give.
//! - Ticks, versions, and the number of mishaps are bounded. All else follows: a machine sends a bounded number
//!   of requests in a tick.
//! - A late write that can never be stored, since what it is conditional on has passed, is forgotten.
//! - States are told apart by 64 bits of a hash: that two of ten million share one has a chance of one in 300,000.

mod rules;
mod world;

use stateright::{Checker, Model, Property};

use self::{
    rules::Violation,
    world::{Action, World},
};

/// How far the model goes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// How many ticks a time to live is.
    ttl_ticks: u32,
    /// How many ticks there are.
    ticks: u32,
    /// How many writes and deletions are stored.
    versions: u64,
    /// How many requests are given up, tenures or waits withdrawn, processes ended and records deleted.
    mishaps: u8,
    /// Whether watches tell of what is stored, at any time after.
    watched: bool,
    /// The second contender's time to live is half the first's.
    short_ttl: bool,
}

/// For every test run: time enough for one takeover.
const SMALL: Bounds =
    Bounds { ttl_ticks: 2, ticks: 2, versions: 3, mishaps: 1, watched: false, short_ttl: false };

/// More mishaps, other times to live and watches, or more time: enough for a takeover from a takeover.
const FULL: [Bounds; 3] = [
    Bounds { versions: 4, mishaps: 2, watched: true, ..SMALL },
    Bounds { ticks: 3, versions: 4, watched: true, short_ttl: true, ..SMALL },
    Bounds { ticks: 4, versions: 4, ..SMALL },
];

const ONE_HOLDER: &str = "one believer at once";
const TOKENS: &str = "tokens are of one's own claim, and grow";
const TAKEOVERS: &str = "what another holds is taken over only after its time to live";
const CREATES: &str = "what was deleted is made anew only after its time to live";
const WANTED: &str = "nobody holds what nobody wanted";

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.enabled_actions(self, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(world.apply(action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn is(violation: Violation, world: &World) -> bool {
            world.violation == Some(violation)
        }
        vec![
            Property::always(ONE_HOLDER, |_, world: &World| {
                world.deleted || world.holder_count() <= 1
            }),
            Property::always(TOKENS, |_, world| !is(Violation::Token, world)),
            Property::always(TAKEOVERS, |_, world| !is(Violation::Takeover, world)),
            Property::always(CREATES, |_, world| !is(Violation::Create, world)),
            Property::always(WANTED, |_, world| !is(Violation::Unwanted, world)),
        ]
    }
}

/// Looks at every state that there is within `bounds`.
fn check_all_states(bounds: Bounds) {
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    let (all, different, far) =
        (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    eprintln!("{all} states, {different} different, up to {far} steps away: {bounds:?}");
    assert!(checker.is_done());
    checker.assert_properties();
    assert!(different > 100_000, "only {different} states were looked at");
}

#[test]
fn no_interleaving_breaks_a_law() {
    check_all_states(SMALL);
}

/// `make model`: 18 million states, one to two minutes on two cores, 4 GB.
#[test]
#[ignore = "needs an optimised build: `make model`"]
fn no_interleaving_breaks_a_law_for_longer() {
    for bounds in FULL {
        check_all_states(bounds);
    }
}
