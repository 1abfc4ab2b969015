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
