//! A model checker that drives two of the machines that ship, and visits every interleaving within [`Bounds`].
//!
//! Other tests follow one history of inputs. The model follows all of them. In each state it tries each event that is
//! possible there: a request reaches the store; its answer arrives; its attempt ends before that, and then the request
//! reaches the store later and its answer arrives late, or neither; time passes for any span; a process crashes and
//! starts again with the same identity; a caller releases its tenure and wants it again; the record is deleted; a watch
//! reports a state.
//!
//! ```text
//!   bounds ──▶ Model ──action──▶ world ──input──▶ two machines ──request──▶ the record
//!                                  └── rules: check each tenure that begins and each write that is stored
//! ```
//!
//! The limits of the model, so that it has an end:
//!
//! - Time passes in ticks. A ttl is `Bounds::ttl_ticks` ticks on the faster clock, and a hold is exactly as many ticks
//!   on the slower one. So the clocks run apart by all that the shortest accepted margin allows, ten to nine. One tick
//!   less of waiting or one more of holding is a violation. Events within a tick occur in any order.
//! - The ttl is some hours, because then the jitter of a wait, at most half a second, is less than any tick. The
//!   faster clock includes it.
//! - Ticks, versions and mishaps are bounded. The number of requests follows from that, because a machine sends a
//!   bounded number of them in a tick.
//! - A late write that cannot be stored any more, because its base has passed, is a conflict from then on.
//! - States are distinguished by 64 bits of a hash. The chance that two of ten million states share one is one in
//!   300,000.

mod mutation;
mod requests;
mod rules;
mod sessions;
mod world;

use std::{fmt::Debug, hash::Hash};

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::{
    rules::Violation,
    world::{Action, World},
};

/// The size of the model.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The length of a ttl in ticks.
    ttl_ticks: u32,
    /// How many ticks pass.
    ticks: u32,
    /// How many writes and deletions the store carries out.
    versions: u64,
    /// How many mishaps occur: requests given up, releases, crashes and deletions.
    mishaps: u8,
    /// Whether watches report what is stored, at any time after it.
    watched: bool,
    /// The ttl of the second contender is half the ttl of the first.
    short_ttl: bool,
    /// The record is that of a candidate, which is deleted instead of freed.
    temporary: bool,
}

/// For every test run: enough time for one takeover.
const SMALL: Bounds = Bounds {
    ttl_ticks: 2,
    ticks: 2,
    versions: 3,
    mishaps: 1,
    watched: false,
    short_ttl: false,
    temporary: false,
};

/// Fewer states mean that the model does not try what it should.
const LEAST: usize = 100_000;

/// For `make model`: more mishaps, watches and a second ttl, or enough time for a takeover of a takeover.
const FULL: [Bounds; 4] = [
    Bounds { versions: 4, mishaps: 2, watched: true, ..SMALL },
    Bounds { ticks: 3, versions: 4, watched: true, short_ttl: true, ..SMALL },
    Bounds { ticks: 4, versions: 4, ..SMALL },
    Bounds { ticks: 3, versions: 4, watched: true, temporary: true, ..SMALL },
];

const ONE_HOLDER: &str = "at most one contender holds the record";
const TOKENS: &str = "a token is the version of its holder's own claim, and tokens grow";
const TAKEOVERS: &str =
    "the record of another holder is claimed only after its ttl, and never freed";
const CREATES: &str = "a deleted record that was held is created only after its ttl";
const GONE: &str = "no tenure begins with a claim on a record that was found absent since";
const WANTED: &str = "no tenure begins for a contender that does not want one";

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
            Property::always(GONE, |_, world| !is(Violation::Gone, world)),
            Property::always(WANTED, |_, world| !is(Violation::Unwanted, world)),
        ]
    }
}

/// A model that the checker can visit with several threads.
trait Bounded:
    Model<
        State: Clone + Debug + Hash + PartialEq + Send + Sync,
        Action: Clone + Debug + PartialEq + Send + Sync,
    > + Debug
    + Send
    + Sync
    + 'static
{
}

impl Bounded for Bounds {}

/// Visits every state within `bounds`, which are more than `least`.
fn check_all_states(bounds: impl Bounded, least: usize) {
    let shown = format!("{bounds:?}");
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    let (all, different, depth) =
        (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    eprintln!("{all} states, {different} different, up to {depth} actions deep: {shown}");
    assert!(checker.is_done());
    checker.assert_properties();
    assert!(different > least, "only {different} states were visited");
}

/// The rules that the first bad state within `bounds` breaks, by their short names.
fn broken_rules(bounds: impl Bounded, rules: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    let checker = bounds.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken = |(_, rule): &&(&str, &'static str)| checker.discovery(rule).is_some();
    rules.iter().filter(broken).map(|(name, _)| *name).collect()
}

#[test]
fn no_interleaving_violates_a_rule() {
    check_all_states(SMALL, LEAST);
}

#[test]
fn no_interleaving_violates_a_rule_where_a_release_deletes_the_record() {
    check_all_states(Bounds { temporary: true, ..SMALL }, LEAST);
}

/// `make model`: 18 million states, one to two minutes on two cores, 4 GB.
#[test]
#[ignore = "needs an optimised build: `make model`"]
fn no_interleaving_violates_a_rule_within_larger_bounds() {
    for bounds in FULL {
        check_all_states(bounds, LEAST);
    }
}
