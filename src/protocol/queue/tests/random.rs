//! Faults at random: no two holders, tokens that grow, no claim left behind.

use std::time::Duration;

use super::simulation::Simulation;

#[test]
fn no_fault_leads_to_two_holders_or_leaves_a_claim_behind() {
    for seed in 0..40 {
        let mut simulation =
            Simulation::new(4, 1.0, Duration::from_millis(20), seed).with_faults(100, false);
        simulation.run(Duration::from_secs(30));
        let left = simulation.settle();
        let served: u64 = simulation.served.iter().sum();
        assert!(simulation.served.iter().all(|&served| served > 0), "seed {seed}: {served} served");
        let line = left.unwrap_or_default().line;
        assert!(line.holders.is_empty() && line.queue.is_empty(), "seed {seed}: left {line:?}");
    }
}

#[test]
fn deleted_records_cost_order_but_no_token_and_leave_no_claim_behind() {
    for seed in 0..40 {
        let mut simulation =
            Simulation::new(4, 1.0, Duration::from_millis(20), seed).with_faults(100, true);
        simulation.run(Duration::from_secs(30));
        let line = simulation.settle().unwrap_or_default().line;
        assert!(simulation.served.iter().all(|&served| served > 0), "seed {seed}");
        assert!(line.holders.is_empty() && line.queue.is_empty(), "seed {seed}: left {line:?}");
    }
}
