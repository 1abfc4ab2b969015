//! Who comes after whom, and when.

use rustix::process::Signal;

use crate::Place;

#[tokio::test]
async fn a_lock_goes_to_and_fro_between_two_that_each_wait_before_the_other_leaves() {
    let place = Place::new().await;
    // Says that it is in, and stays until it hears something.
    let script = "echo $LEASEHOLD_HOLDER $LEASEHOLD_TOKEN; read -r line";
    let contender = |id: &'static str| {
        place.leasehold(["lock", "--id", id, "orders", "sh", "-c", script]).piped().start()
    };
    let mut inside = contender("a");
    let mut tenures = vec![inside.line().await];

    for id in ["b", "a", "b", "a", "b", "a"] {
        let watches = place.requests("watch");
        let mut waiting = contender(id);
        place.until_requested("watch", watches + 1).await;
        inside.say("leave\n").await;
        assert_eq!(inside.end().await.code, Some(0));
        tenures.push(waiting.line().await);
        inside = waiting;
    }

    inside.say("leave\n").await;
    assert_eq!(inside.end().await.code, Some(0));
    let holders: String = tenures.iter().map(|tenure| &tenure[..1]).collect();
    assert_eq!(holders, "abababa");
    let tokens: Vec<u64> = tenures.iter().map(|tenure| tenure[2..].parse().unwrap()).collect();
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

/// The host's clock, on which all of its processes agree, in seconds.
const SAY_TIME: &str = "cut -d' ' -f1 /proc/uptime";

fn now() -> f64 {
    let said = std::fs::read_to_string("/proc/uptime").unwrap();
    said.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn killed_with_9_its_command_is_dead_when_the_next_enters_within_the_ttl() {
    let place = Place::new().await;
    let beat = format!("trap '' TERM; while :; do {SAY_TIME}; sleep 0.05; done");
    let lock = ["lock", "--ttl", "3s", "orders", "sh", "-c"];
    let mut first = place.leasehold(lock.into_iter().chain([&*beat])).start();
    first.line().await;
    let watches = place.requests("watch");
    let second = place.leasehold(lock.into_iter().chain([SAY_TIME])).start();
    place.until_requested("watch", watches + 1).await;

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
