//! The law that a mutated protocol must break: `make mutations` runs this on a copy of the tree with one mistake in it.

use stateright::{Checker, HasDiscoveries, Model};

use super::{Bounds, CREATES, ONE_BELIEVER, SMALL, TAKEOVERS, TOKENS, WANTED};

/// From few states to many. A mistake that breaks a law breaks it within one of these.
const NARROW: [Bounds; 7] = [
    Bounds { ticks: 0, ..SMALL },
    Bounds { ticks: 0, watched: true, ..SMALL },
    Bounds { ticks: 1, mishaps: 0, ..SMALL },
    Bounds { ticks: 1, mishaps: 0, hasty: true, ..SMALL },
    Bounds { mishaps: 0, ..SMALL },
    SMALL,
    Bounds { ticks: 3, mishaps: 0, ..SMALL },
];

/// The laws, by the names that a patch in `tests/mutations` uses.
const LAWS: [(&str, &str); 5] = [
    ("one-believer", ONE_BELIEVER),
    ("tokens", TOKENS),
    ("takeovers", TAKEOVERS),
    ("creates", CREATES),
    ("wanted", WANTED),
];

/// Requires that the law of `LEASEHOLD_LAW` is broken, and no other one before it.
#[test]
#[ignore = "fails on a correct protocol"]
fn the_mistake_is_caught() {
    let law = std::env::var("LEASEHOLD_LAW").expect("LEASEHOLD_LAW");
    let broken = NARROW.into_iter().map(broken_laws).find(|laws| !laws.is_empty());
    assert!(broken.as_ref().is_some_and(|laws| laws.contains(&&*law)), "broken: {broken:?}");
}

#[test]
#[ignore = "`make mutations` runs this once, without a mistake"]
fn no_law_is_broken_without_a_mistake() {
    for bounds in NARROW {
        assert_eq!(broken_laws(bounds), [""; 0], "{bounds:?}");
    }
}

/// The laws that the first bad state within `bounds` breaks.
fn broken_laws(bounds: Bounds) -> Vec<&'static str> {
    let checker = bounds.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken = |(_, law): &&(&str, &'static str)| checker.discovery(law).is_some();
    LAWS.iter().filter(broken).map(|(name, _)| *name).collect()
}
