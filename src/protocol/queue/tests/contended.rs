//! What a lock costs that many processes want in a loop.

use std::time::Duration;

use super::simulation::Simulation;

/// Hand-offs per second, requests per hand-off, the longest wait in units of processes and hand-offs, Jain's index.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn measure(processes: usize, slow: f64, pause: Duration, patches: bool) -> [f64; 4] {
    let simulation = Simulation::new(processes, slow, pause, 7);
    let mut simulation = if patches { simulation } else { simulation.without_patches() };
    let length = Duration::from_secs(20);
    simulation.run(length);
    let served: Vec<_> = simulation.served.iter().map(|&served| served as f64).collect();
    let sum: f64 = served.iter().sum();
    let squares: f64 = served.iter().map(|served| served * served).sum();
    let rate = sum / length.as_secs_f64();
    [
        rate,
        simulation.requests as f64 / sum,
        simulation.longest.as_secs_f64() * rate / processes as f64,
        sum * sum / squares / processes as f64,
    ]
}

#[test]
fn a_contended_lock_costs_few_requests_and_every_process_gets_its_turn() {
    // Processes, pause, the least hand-offs per second, the most requests each, the longest wait in turns.
    for (patches, processes, pause, least, most, turns) in [
        (true, 2, 0, 300.0, 2.5, 6.0),
        (true, 10, 0, 300.0, 2.4, 6.0),
        (true, 50, 0, 300.0, 2.4, 8.0),
        (true, 10, 100, 150.0, 3.0, 8.0),
        (true, 50, 100, 250.0, 3.0, 15.0),
        (false, 2, 0, 300.0, 2.5, 6.0),
        (false, 10, 0, 300.0, 2.5, 6.0),
        (false, 50, 0, 300.0, 2.6, 8.0),
        (false, 10, 100, 150.0, 6.0, 8.0),
        (false, 50, 100, 250.0, 8.5, 15.0),
    ] {
        let [rate, requests, longest, fair] =
            measure(processes, 1.0, Duration::from_millis(pause), patches);
        let measured = format!(
            "patches {patches}, {processes} processes, pause {pause} ms: {rate:.0}/s, {requests:.1} requests each, \
             longest wait {longest:.1} turns, Jain {fair:.3}"
        );
        assert!(rate >= least && requests <= most && longest <= turns && fair > 0.99, "{measured}");
    }
}
