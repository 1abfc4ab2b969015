//! Finds deliberate mistakes: `make mutations` puts one mistake into a copy of the sources and runs these tests there.

use super::{Bounds, CREATES, GONE, ONE_HOLDER, SMALL, TAKEOVERS, TOKENS, WANTED, sessions};

/// From few states to many. A mistake that breaks a rule breaks it within one of these.
const NARROW: [Bounds; 9] = [
    Bounds { ticks: 0, ..SMALL },
    Bounds { ticks: 0, watched: true, ..SMALL },
    Bounds { ticks: 1, mishaps: 0, ..SMALL },
    Bounds { ticks: 1, mishaps: 0, short_ttl: true, ..SMALL },
    Bounds { mishaps: 0, ..SMALL },
    SMALL,
    Bounds { temporary: true, ..SMALL },
    Bounds { ticks: 3, mishaps: 0, ..SMALL },
    Bounds { ticks: 1, versions: 2, mishaps: 2, ..SMALL },
];

/// The rules, by the names that the patches in `tests/mutations` use.
const RULES: [(&str, &str); 6] = [
    ("one-holder", ONE_HOLDER),
    ("tokens", TOKENS),
    ("takeovers", TAKEOVERS),
    ("creates", CREATES),
    ("gone", GONE),
    ("wanted", WANTED),
];

/// Requires that the rule of `LEASEHOLD_RULE` is the first one that is broken.
#[test]
#[ignore = "fails on a correct protocol"]
fn the_mistake_is_caught() {
    let rule = std::env::var("LEASEHOLD_RULE").expect("LEASEHOLD_RULE");
    let broken = if rule.starts_with("session-") {
        Some(sessions::first_broken_rules())
    } else {
        NARROW.into_iter().map(broken_rules).find(|rules| !rules.is_empty())
    };
    assert!(broken.as_ref().is_some_and(|rules| rules.contains(&&*rule)), "broken: {broken:?}");
}

#[test]
#[ignore = "`make mutations` runs this once, without a mistake"]
fn no_rule_is_broken_without_a_mistake() {
    for bounds in NARROW {
        assert_eq!(broken_rules(bounds), [""; 0], "{bounds:?}");
    }
    assert_eq!(sessions::narrow_broken_rules(), [""; 0]);
}

fn broken_rules(bounds: Bounds) -> Vec<&'static str> {
    super::broken_rules(bounds, &RULES)
}
