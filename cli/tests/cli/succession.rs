//! Hand-overs: the order of the holders, and the time between them.

use rustix::process::Signal;

use crate::Fixture;

#[tokio::test]
async fn a_lock_alternates_between_two_processes_that_wait_for_each_other() {
    let fixture = Fixture::new().await;
    // Prints its tenure, and waits for a line.
    let script = "echo $LEASEHOLD_HOLDER $LEASEHOLD_TOKEN; read -r line";
    let contender = |id: &'static str| {
        fixture.leasehold(["lock", "--id", id, "orders", "sh", "-c", script]).piped().start()
    };
    let mut inside = contender("a");
    let mut tenures = vec![inside.line().await];

    for id in ["b", "a", "b", "a", "b", "a"] {
        let watches = fixture.requests("watch");
        let mut waiting = contender(id);
        fixture.until_requested("watch", watches + 1).await;
        inside.write_line("leave\n").await;
        assert_eq!(inside.end().await.code, Some(0));
        tenures.push(waiting.line().await);
        inside = waiting;
    }

    inside.write_line("leave\n").await;
    assert_eq!(inside.end().await.code, Some(0));
    let holders: String = tenures.iter().map(|tenure| &tenure[..1]).collect();
    assert_eq!(holders, "abababa");
    let tokens: Vec<u64> = tenures.iter().map(|tenure| tenure[2..].parse().unwrap()).collect();
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

/// Prints the clock of the host, which all processes share, in seconds.
const PRINT_TIME: &str = "cut -d' ' -f1 /proc/uptime";

fn now() -> f64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    uptime.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_command_of_a_killed_program_is_dead_before_a_successor_acquires_within_the_ttl() {
    let fixture = Fixture::new().await;
    let beat = format!("trap '' TERM; while :; do {PRINT_TIME}; sleep 0.05; done");
    let lock = ["lock", "--ttl", "3s", "orders", "sh", "-c"];
    let mut first = fixture.leasehold(lock.into_iter().chain([&*beat])).start();
    first.line().await;
    let watches = fixture.requests("watch");
    let second = fixture.leasehold(lock.into_iter().chain([PRINT_TIME])).start();
    fixture.until_requested("watch", watches + 1).await;

    let killed = now();
    first.signal(Signal::KILL);
    let beats = first.closed().await;
    let ended = second.end().await;

    let time = |line: &str| line.parse::<f64>().unwrap();
    let (last, entered) = (beats.lines().last().map_or(killed, time), time(ended.text().trim()));
    assert!(last < entered, "the first lived until {last}, the second came at {entered}");
    let after = entered - killed;
    assert!(after <= 3.0 + 1.5, "the next came {after} s after the kill, with a ttl of 3 s");
}
