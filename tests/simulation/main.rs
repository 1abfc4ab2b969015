//! A deterministic simulation of the whole library. Several hosts, each with a tokio runtime and a clock of its own,
//! share one API server and a network that loses, delays and repeats requests. The same seed gives the same run.
//!
//! ```text
//!   seed ─▶ scenario ─▶ world ─▶ hosts ─▶ programs ─▶ leasehold ─▶ kube ─▶ wire ─▶ network ─▶ api ─▶ store
//!                         ▲                   ▲                                       │                │
//!             injection ──┘                   └─────────── replies, watches ◀─────────┴────────────────┘
//! ```
//!
//! The checks C1 to C6 see every tenure, write and request. C7 compares two runs of a seed. C8 requires that every
//! kind of fault happened.

mod api;
mod batch;
mod channel;
mod checks;
mod circumstance;
mod commit_checks;
mod connections;
mod delivery;
mod elections;
mod faults;
mod foreign_elector;
mod host;
mod injection;
mod lifecycle;
mod locks;
mod messages;
mod mutation;
mod network;
mod process;
mod program;
mod real_server;
mod report;
mod scenario;
mod scripted_request;
mod sessions;
mod store;
mod tick_checks;
mod tracking;
mod watches;
mod wire;
mod world;

extern crate leasehold_simulated as leasehold;

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use leasehold_test_support::Violation;

use crate::{batch::Batch, checks::repetition, sessions::SESSIONS};

/// Allocation is a large part of the cost of a simulated hour.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many fixed seeds run without sessions, and with them. With these, every kind of fault happens.
const FIXED_SEEDS: u64 = 64;
const FIXED_SESSION_SEEDS: u64 = 16;
/// The smallest number of new seeds that run.
const NEW_SEEDS: u64 = 12;
/// How long new seeds are started, in real time, so that a faster machine runs more of them.
const NEW_SEEDS_FOR: Duration = Duration::from_secs(30);

/// Seeds that failed once, each with the reason. They run in every test run.
const FAILED: &str = include_str!("failed.txt");

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `work` for each seed that `next` returns, on one thread per core.
fn on_all_cores<T: Send>(
    next: impl Fn() -> Option<u64> + Sync,
    work: impl Fn(u64) -> Option<T> + Sync,
) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let run = || std::iter::from_fn(&next).filter_map(&work).collect::<Vec<T>>();
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().flat_map(|done| done.join().expect("no panic")).collect()
    })
}

fn batch(next: impl Fn() -> Option<u64> + Sync) -> Batch {
    batch_with(next, |_| ())
}

/// The same. After each run, `progress` sees the totals so far.
fn batch_with(next: impl Fn() -> Option<u64> + Sync, progress: impl Fn(&Batch) + Sync) -> Batch {
    let all = std::sync::Mutex::new(Batch::default());
    on_all_cores(next, |seed| {
        let mut batch = Batch::default();
        batch.run(seed);
        let mut all = all.lock().expect("no panic");
        all.join(batch);
        progress(&all);
        None::<()>
    });
    all.into_inner().expect("no panic")
}

/// C1 to C6, and C8, for a fixed range of seeds. `LEASEHOLD_SEED_FROM=n` selects another range.
#[test]
fn nothing_that_is_promised_is_broken() {
    let from = from_env("LEASEHOLD_SEED_FROM").unwrap_or(0);
    let seed = AtomicU64::new(from);
    let next = || match seed.fetch_add(1, Ordering::Relaxed) {
        seed if seed < from + FIXED_SEEDS => Some(seed),
        seed => Some(seed - FIXED_SEEDS)
            .filter(|&seed| seed < from + FIXED_SESSION_SEEDS)
            .map(|seed| seed | SESSIONS),
    };
    let all = batch(next);
    println!("{all}");
    all.assert_no_violation();
    assert!(
        all.expected_overlaps > 0,
        "no name was held twice despite a broken assumption, so C2 and C3 prove little"
    );
    assert_eq!(all.faults.missing(), [], "C8: these kinds of fault never happened");
    assert!(
        all.waited_creations > 0,
        "C8: no process had to wait before it created a deleted record"
    );
    assert!(all.handovers > 0, "C8: no lock of a crashed process was handed over");
}

/// C1 to C6 for new seeds. Add a seed that fails to `failed.txt`.
#[test]
fn nothing_that_is_promised_is_broken_with_new_seeds() {
    let from = from_env("LEASEHOLD_SEED_FROM").unwrap_or_else(new_seed);
    let (seed, started) = (AtomicU64::new(from), real_now());
    let next = || {
        let seed = seed.fetch_add(1, Ordering::Relaxed);
        (seed < from + NEW_SEEDS || started.elapsed() < NEW_SEEDS_FOR).then(|| mixed(seed))
    };
    let all = batch(next);
    println!("seeds from {from}: {all}");
    all.assert_no_violation();
}

#[test]
fn seeds_that_failed_once_pass() {
    let seeds = FAILED.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let seeds: Vec<u64> = seeds.collect();
    let at = AtomicU64::new(0);
    let next = || {
        let at = usize::try_from(at.fetch_add(1, Ordering::Relaxed)).expect("an index");
        seeds.get(at).copied()
    };
    batch(next).assert_no_violation();
}

/// C7 for new seeds: a run must repeat exactly, on any thread, because otherwise it cannot be replayed.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let from = from_env("LEASEHOLD_SEED_FROM").unwrap_or_else(new_seed);
    let end = from + from_env("LEASEHOLD_COUNT").unwrap_or(6);
    let seed = AtomicU64::new(from);
    let next = || Some(seed.fetch_add(1, Ordering::Relaxed)).filter(|&seed| seed < end).map(mixed);
    let failed = on_all_cores(next, |seed| {
        check_repetition(seed).map(|violation| {
            format!(
                "\nseed {seed}: {}: {}\n  replay: LEASEHOLD_SEED_FROM={seed} LEASEHOLD_COUNT=1 \
                 cargo test -p leasehold-simulation --test simulation the_same_seed_gives_the_same_trace",
                violation.check, violation.what
            )
        })
    });
    assert!(failed.is_empty(), "{}", failed.concat());
}

/// C7: runs a seed twice, on two threads.
fn check_repetition(seed: u64) -> Option<Violation> {
    let run = || world::run(seed);
    let first = run();
    let second = std::thread::scope(|scope| scope.spawn(run).join().expect("no panic"));
    repetition::check(&first, &second)
}

/// The seed of a new run: every third run is one with sessions.
fn mixed(seed: u64) -> u64 {
    if seed % 3 == 2 { seed | SESSIONS } else { seed }
}

/// The first seed of a range that has not run before. It is derived from the current time.
fn new_seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() << 20
}

/// Repeats the run of `LEASEHOLD_SEED`:
/// `cargo test -p leasehold-simulation --test simulation replay -- --ignored --nocapture`.
#[test]
#[ignore = "needs a seed"]
fn replay() {
    let seed = from_env("LEASEHOLD_SEED").expect("LEASEHOLD_SEED");
    let mut batch = Batch::default();
    batch.run(seed);
    println!("{:#?}", scenario::Scenario::of(seed));
    println!("{batch}");
    batch.assert_no_violation();
}

/// `make soak HOURS=n`: C1 to C6 for new seeds, for a number of simulated hours, or until `MINUTES` of real time are over.
#[test]
#[ignore = "runs for LEASEHOLD_HOURS simulated hours"]
fn soak() {
    let hours = from_env("LEASEHOLD_HOURS").unwrap_or(100);
    let from = from_env("LEASEHOLD_SEED_FROM").unwrap_or_else(new_seed);
    let (seed, done) = (AtomicU64::new(from), AtomicU64::new(0));
    let enough = hours * 3600 * scenario::SEC;
    let started = real_now();
    let longest = from_env("LEASEHOLD_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let next = || {
        let before = done.fetch_add(scenario::FAULT_PHASE, Ordering::Relaxed);
        let is_over = longest.is_some_and(|longest| started.elapsed() >= longest);
        (before < enough && !is_over).then(|| mixed(seed.fetch_add(1, Ordering::Relaxed)))
    };
    let (shown_minutes, shown_violations) = (AtomicU64::new(0), AtomicUsize::new(0));
    // A line a minute, and each violation at once: the whole may take hours.
    let all = batch_with(next, |all| {
        let minute = started.elapsed().as_secs() / 60;
        let failed = shown_violations.fetch_max(all.violations.len(), Ordering::Relaxed);
        for (seed, what) in &all.violations[failed.min(all.violations.len())..] {
            println!("seed {seed}: {what}");
        }
        if shown_minutes.fetch_max(minute, Ordering::Relaxed) < minute {
            let done = all.simulated / 3600 / scenario::SEC;
            println!("{minute} min: {done} of {hours} simulated hours, {} runs", all.runs);
        }
    });
    let elapsed: Duration = started.elapsed();
    println!("seeds from {from}: {all}");
    let rate = u128::from(all.simulated) * 60 / 3600 / elapsed.as_micros().max(1);
    println!("{rate} simulated hours a minute");
    all.assert_no_violation();
}

#[expect(
    clippy::disallowed_methods,
    reason = "real time decides only how many seeds run, and it is printed"
)]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}
