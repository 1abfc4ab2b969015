//! Many runs, and what they prove.

use super::{
    Report,
    checks::Check,
    faults::{Fault, Faults},
    run,
    states::{State, States},
};
use crate::bugs::{Bug, with};

/// How many seeds the checks run; each stands for a scene of its own.
const SEEDS: u64 = 300;

/// Which check notices which of the engine's bugs; those below it the simulation of the whole library has.
const CATCHES: [(Bug, Check); 22] = [
    (Bug::CountFromAnswer, Check::Overlap),
    (Bug::RemoteTimestamps, Check::Takeover),
    (Bug::OwnTtl, Check::Takeover),
    (Bug::AdoptOnRead, Check::Token),
    (Bug::BlindRelease, Check::Takeover),
    (Bug::StaleRead, Check::Loss),
    (Bug::UnknownIsStored, Check::Overlap),
    (Bug::HoldWhileReleasing, Check::Overlap),
    (Bug::CreateAtOnce, Check::Create),
    (Bug::IgnoreNonce, Check::Takeover),
    (Bug::NoDeadline, Check::Overlap),
    (Bug::StayOnTaken, Check::Told),
    (Bug::ConflictIsLoss, Check::Loss),
    (Bug::ZombieBegins, Check::Withdrawn),
    (Bug::TokenPerWrite, Check::Token),
    (Bug::RestartOnRepeat, Check::Liveness),
    (Bug::TrustWatch, Check::Asleep),
    (Bug::ForgetCreate, Check::Asleep),
    (Bug::NoBackoff, Check::Requests),
    (Bug::ReadForgives, Check::Requests),
    (Bug::ConflictForgiven, Check::Requests),
    (Bug::ConflictIsRetried, Check::Liveness),
];

#[test]
fn nothing_is_violated_and_every_fault_and_every_state_is_met() {
    let (mut faults, mut states) = (Faults::NONE, States::NONE);
    let (mut tenures, mut steps, mut requests) = (0, 0, 0);

    for seed in 0..SEEDS {
        let report = run(seed);
        assert_eq!(report.violation, None, "seed {seed}");
        faults.add(&report.faults);
        states.add(&report.states);
        tenures += report.tenures;
        steps += report.steps;
        requests += report.requests;
    }

    eprintln!("{tenures} tenures, {steps} steps, {requests} requests in {SEEDS} runs");
    for fault in Fault::ALL {
        eprintln!("{:>8} {fault:?}", faults.count(fault));
        assert!(faults.count(fault) > 0, "{fault:?} was never met with");
    }
    for state in State::ALL {
        eprintln!("{:>8} {state:?}", states.count(state));
        assert!(states.count(state) > 0, "no machine was ever {state:?}");
    }
    assert!(tenures >= 100_000, "only {tenures} tenures were looked at");
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..12 {
        let (first, again): (Report, Report) = (run(seed), run(seed));

        assert_eq!(first, again, "seed {seed}");
        assert_ne!(first.trace, run(seed + 1).trace, "seed {seed}");
    }
}

/// The seeds are those that pass without a bug.
#[test]
fn every_seeded_bug_is_caught_by_its_check() {
    for (bug, check) in CATCHES {
        let catches = |seed: &u64| {
            let found = with(Some(bug), || run(*seed)).violation;
            found.is_some_and(|violation| violation.check == check)
        };

        let seed = (0..SEEDS).find(catches);
        eprintln!("{bug:?} is caught by {check:?} with seed {seed:?}");
        assert!(seed.is_some(), "{bug:?} is not caught by {check:?}");
    }
}

/// `SEEDS=30000 cargo test --release search_for_a_violation -- --ignored`: a minute on one core.
#[test]
#[ignore = "a search, to be run for as long as there is time"]
fn search_for_a_violation() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(30_000);
    let mut tenures = 0;

    for seed in SEEDS..seeds {
        let report = run(seed);
        assert_eq!(report.violation, None, "seed {seed}");
        tenures += report.tenures;
    }

    eprintln!("{tenures} tenures");
}
