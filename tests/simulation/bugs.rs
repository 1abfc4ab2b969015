//! Seeded bugs, through the whole library: each is found by a check, with a seed that is clean without it.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use leasehold::{Bug, with_bug};

use crate::{each, is_one_trace, real_now, world};

/// Which check finds which bug, with which seed: the first that does.
const FOUND: &[(Bug, &str, u64)] = &[
    (Bug::CountFromAnswer, "C1", 34),
    (Bug::RemoteTimestamps, "C4", 0),
    (Bug::OwnTtl, "C4", 0),
    (Bug::AdoptOnRead, "C2", 0),
    (Bug::BlindRelease, "C4", 22),
    (Bug::StaleRead, "C5", 21),
    (Bug::UnknownIsStored, "C1", 9),
    (Bug::CreateAtOnce, "C4", 5),
    (Bug::IgnoreNonce, "C1", 12),
    (Bug::StayOnTaken, "C4", 29),
    (Bug::ConflictIsLoss, "C5", 5),
    (Bug::TokenPerWrite, "C5", 0),
    (Bug::RestartOnRepeat, "C5", 0),
    (Bug::TrustWatch, "C5", 1),
    (Bug::NoBackoff, "C6", 3),
    (Bug::ConflictIsRetried, "C6", 0),
    (Bug::TokenFromTransitions, "C2", 0),
    (Bug::PutWithoutUid, "C4", 0),
    (Bug::IdenticalRenewal, "C5", 0),
    (Bug::ForeignFieldsLost, "C4", 0),
    (Bug::TtlOnCreateOnly, "C6", 0),
    (Bug::BlindDeletion, "C4", 0),
    (Bug::ConflictIsGone, "C6", 0),
    (Bug::TimeoutIsRefusal, "C5", 13),
    (Bug::FailureIsAbsence, "C5", 0),
    (Bug::GoneIsRetried, "C6", 0),
    (Bug::WatchOutlivesFollowers, "C6", 0),
    (Bug::NoAttemptTimeout, "C6", 0),
    (Bug::OneRequestAtATime, "C6", 0),
    (Bug::HandedOnUnwritten, "C2", 4),
    (Bug::AnyReleaseEnds, "C5", 0),
    (Bug::CancelledStaysQueued, "C6", 0),
    (Bug::DropKeeps, "C1", 0),
    (Bug::HeldUntilTold, "C1", 0),
    (Bug::ReleasedIsHeld, "C1", 0),
    (Bug::StoppedClock, "C1", 1),
    (Bug::PlaceIsKept, "C6", 292),
    (Bug::GivenBackBeforeWork, "C5", 0),
];

/// What is seen when one check alone is asked: another is faster to find it.
const SEEN: &[(Bug, &str, u64)] =
    &[(Bug::TokenFromTransitions, "C3", 12), (Bug::HandedOnUnwritten, "C3", 34)];

/// What no single run finds, and why: the simulation of the engine finds each, or, of the last, two runs do.
///
/// That the end of a watch ends a tenure is in neither table: a holder has no watch.
const NOT_HERE: &[(Bug, &str)] = &[
    (
        Bug::HoldWhileReleasing,
        "the desk, asked to hand out what nobody wants, never comes to an end",
    ),
    (Bug::NoDeadline, "a guard has a deadline of its own"),
    (Bug::ZombieBegins, "the desk gives back at once what was won for nobody"),
    (Bug::ForgetCreate, "only a candidate's record is left, which lapses"),
    (Bug::ReadForgives, "the bound on requests is wider than for a machine alone"),
    (Bug::ConflictForgiven, "the bound on requests is wider than for a machine alone"),
    (Bug::ChanceBesideSeed, "C7 needs two runs: `chance_that_no_seed_reaches_is_found`"),
];

/// How long to look for one bug.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_bug_is_in_one_table() {
    for bug in Bug::ALL {
        let here = FOUND.iter().filter(|(found, ..)| found == bug).count();
        let elsewhere = NOT_HERE.iter().filter(|(other, _)| other == bug).count();
        assert_eq!(here + elsewhere, 1, "{bug:?}");
    }
}

/// When the simulation itself changes, a seed is another run: `how_soon_each_bug_is_found` finds new ones.
#[test]
fn every_seeded_bug_is_found_and_its_seed_is_clean_without_it() {
    let at = AtomicUsize::new(0);
    let next =
        || Some(at.fetch_add(1, Ordering::Relaxed) as u64).filter(|&at| at < FOUND.len() as u64);
    let missed = each(next, |at| {
        let (bug, check, seed) = FOUND[usize::try_from(at).expect("few")];
        let found = with_bug(Some(bug), || world::run(seed)).violation;
        let right = found.as_ref().is_some_and(|found| found.check == check);
        (!right).then(|| format!("{bug:?} is not found by {check} with seed {seed}, but {found:?}"))
    });
    assert_eq!(missed, Vec::<String>::new());

    let seeds: BTreeSet<u64> = FOUND.iter().map(|(.., seed)| *seed).collect();
    let seeds = Mutex::new(seeds.into_iter());
    let unclean = each(
        || seeds.lock().expect("no panic").next(),
        |seed| world::run(seed).violation.map(|found| format!("seed {seed}: {found:?}")),
    );
    assert_eq!(unclean, Vec::<String>::new());
}

/// C3 comes last, when a run is over: what C2 ends at the first token is left to it here.
#[test]
fn two_tenures_with_one_token_lose_an_update() {
    for &(bug, check, seed) in SEEN {
        let found = with_bug(Some(bug), || world::run_for(seed, Some(check))).violation;
        assert_eq!(found.map(|found| found.check), Some(check), "{bug:?}, seed {seed}");
        assert_eq!(world::run_for(seed, Some(check)).violation, None, "seed {seed}");
    }
}

#[test]
fn chance_that_no_seed_reaches_is_found() {
    assert!(is_one_trace(0, None), "C7");
    assert!(!is_one_trace(0, Some(Bug::ChanceBesideSeed)), "one trace, whatever chance there was");
}

/// How soon each bug is found, from seed 0 on, as a table. `LEASEHOLD_BUG=name,name` looks for some.
#[test]
#[ignore = "a search: up to a minute for each bug"]
fn how_soon_each_bug_is_found() {
    let only = std::env::var("LEASEHOLD_BUG").ok();
    let wanted = |bug: &&Bug| {
        let name = format!("{bug:?}");
        let here = NOT_HERE.iter().all(|(other, _)| other != *bug);
        only.as_ref().map_or(here, |only| only.split(',').any(|only| only == name))
    };
    let bugs = Mutex::new(Bug::ALL.iter().filter(wanted));
    let next = || {
        let bug = bugs.lock().expect("no panic").next()?;
        Bug::ALL.iter().position(|other| other == bug).map(|at| at as u64)
    };
    let mut found = each(next, |at| {
        let bug = Bug::ALL[usize::try_from(at).expect("few")];
        Some((at, search(bug)))
    });
    found.sort();
    println!(
        "| bug | place | found by | seed | simulated hours | seconds |\n|---|---|---|---|---|---|"
    );
    for (_, line) in found {
        println!("{line}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn search(bug: Bug) -> String {
    let (begun, mut simulated) = (real_now(), 0);
    for seed in 0.. {
        let report = with_bug(Some(bug), || world::run(seed));
        simulated += report.simulated;
        let (hours, secs) = (simulated as f64 / 3600e6, begun.elapsed().as_secs_f64());
        if let Some(found) = report.violation {
            let what: String = found.what.chars().take(110).collect();
            return format!(
                "| {bug:?} | {} | {} | {seed} | {hours:.1} | {secs:.1} | {what}",
                place(bug),
                found.check
            );
        }
        if begun.elapsed() > PATIENCE {
            return format!(
                "| {bug:?} | {} | NOT FOUND | {seed} | {hours:.1} | {secs:.1} |",
                place(bug)
            );
        }
    }
    unreachable!("seeds do not end")
}

/// The files that have it.
fn place(bug: Bug) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![src.clone()];
    let mut places = Vec::new();
    while let Some(folder) = open.pop() {
        for path in
            fs::read_dir(folder).expect("the source").map(|entry| entry.expect("a file").path())
        {
            if path.is_dir() {
                open.push(path);
            } else if fs::read_to_string(&path)
                .is_ok_and(|text| text.contains(&format!("seeded(Bug::{bug:?})")))
            {
                places.push(path.strip_prefix(&src).expect("within").display().to_string());
            }
        }
    }
    places.sort();
    places.join(", ")
}
