//! Many runs, and what they prove.

use super::{
    Report,
    checks::Check,
    faults::{Fault, Faults},
    run,
};
use crate::engine::bugs::{Bug, with};

#[test]
fn nothing_is_violated_and_every_fault_is_met() {
    let mut faults = Faults::default();
    let (mut tenures, mut steps, mut requests) = (0, 0, 0);
    for seed in 0..400 {
        let report = run(seed);
        assert_eq!(report.violation, None, "seed {seed}");
        faults.add(&report.faults);
        tenures += report.tenures;
        steps += report.steps;
        requests += report.requests;
    }
    println!("{tenures} tenures, {steps} steps, {requests} requests");
    for fault in Fault::ALL {
        println!("{fault:?}: {}", faults.count(fault));
        assert!(faults.count(fault) > 0, "{fault:?} was never met");
    }
}

#[test]
#[ignore = "debug"]
fn debug_one() {
    let seed: u64 = std::env::var("SEED").unwrap().parse().unwrap();
    let mut sim = super::Sim::set(seed);
    while sim.report.violation.is_none() {
        let Some(((at, _), event)) = sim.queue.pop_first() else { break };
        sim.now = at;
        if std::env::var("TRACE").is_ok_and(|t| at > t.parse().unwrap()) {
            println!("{at} {event:?}");
        }
        sim.happen(event);
    }
    println!("{:?} broken {:?}", sim.report.violation, sim.broken);
    let n = sim.store.log.len();
    for c in &sim.store.log[n.saturating_sub(12)..] {
        println!(
            "{} at {} {:?} {:?}",
            c.number,
            c.at,
            c.author,
            c.state.as_ref().map(|s| &s.record)
        );
    }
    for h in &sim.hosts {
        println!(
            "{} seed {:x} told {:?} belief {:?} clock {:?} app {:?} watch {:?} timing {:?}",
            h.me,
            h.seed,
            h.told,
            h.belief,
            h.clock,
            h.app,
            h.watch,
            h.timing.ttl()
        );
    }
}

#[test]
#[ignore = "debug"]
fn bugs_found() {
    for (bug, _) in BUGS {
        let mut found: std::collections::BTreeMap<Check, (u64, u64)> = Default::default();
        for seed in 0..200 {
            if let Some(v) = with(Some(bug), || run(seed)).violation {
                found.entry(v.check).or_insert((seed, 0)).1 += 1;
            }
        }
        println!("{bug:?}: {found:?}");
    }
}

#[test]
#[ignore = "long"]
fn many() {
    let to: u64 = std::env::var("SEEDS").unwrap().parse().unwrap();
    let mut bad = 0;
    for seed in 400..to {
        if let Some(v) = run(seed).violation {
            println!("seed {seed} {v:?}");
            bad += 1;
            if bad > 5 {
                break;
            }
        }
    }
}

const BUGS: [(Bug, Check); 18] = [
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
    (Bug::TrustWatch, Check::Liveness),
    (Bug::NoBackoff, Check::Requests),
];
