//! Finds deliberate mistakes: `make mutations` puts one mistake into a copy of the sources and runs these tests
//! there.

use crate::{check_repetition, from_env, world};

/// Runs the seed of `LEASEHOLD_SEED` and requires that `LEASEHOLD_CHECK` is the first check that fails.
///
/// With `LEASEHOLD_ONLY=1`, violations of other checks are ignored. Use it if another check would fail first.
#[test]
#[ignore = "fails on a correct library"]
fn the_mistake_is_caught() {
    let check = check_named(&std::env::var("LEASEHOLD_CHECK").expect("LEASEHOLD_CHECK"));
    let seed = from_env("LEASEHOLD_SEED").expect("LEASEHOLD_SEED");
    let only = std::env::var("LEASEHOLD_ONLY").ok().map(|_| check);
    let violation =
        if check == "C7" { check_repetition(seed) } else { world::run_for(seed, only).violation };
    println!("seed {seed}: {violation:?}");
    assert_eq!(violation.map(|found| found.check), Some(check));
}

/// Runs the seeds of `LEASEHOLD_SEEDS`, a list with commas, on the tree without a mistake: no check fails, and each
/// seed gives one trace.
#[test]
#[ignore = "`make mutations` runs this once, with the seeds of all patches"]
fn no_check_fails_without_a_mistake() {
    let seeds = std::env::var("LEASEHOLD_SEEDS").expect("LEASEHOLD_SEEDS");
    for seed in seeds.split(',').map(|seed| seed.parse().expect("a seed")) {
        assert_eq!(world::run(seed).violation, None, "seed {seed}");
        assert_eq!(check_repetition(seed), None, "seed {seed}");
    }
}

/// Searches from seed `LEASEHOLD_SEED_FROM` (0) for the first seed that fails a check. Use it for a new mistake, or after the simulation
/// changed.
#[test]
#[ignore = "searches up to LEASEHOLD_COUNT seeds"]
fn the_first_seed_that_catches_the_mistake() {
    let count = from_env("LEASEHOLD_COUNT").unwrap_or(300);
    let only = std::env::var("LEASEHOLD_CHECK").ok().map(|check| check_named(&check));
    let from = from_env("LEASEHOLD_SEED_FROM").unwrap_or(0);
    let found = (from..from + count).find_map(|seed| {
        let violation = world::run_for(seed, only).violation?;
        Some((seed, violation))
    });
    println!("{found:?}");
    assert!(found.is_some(), "none of {count} seeds fails a check");
}

/// Validates the name of a check.
fn check_named(check: &str) -> &'static str {
    const CHECKS: [&str; 8] = ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"];
    CHECKS.into_iter().find(|known| *known == check).expect("LEASEHOLD_CHECK is C1 to C8")
}
