//! Signals to the program while its command runs.

use std::time::Duration;

use leasehold::Sync as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use crate::{
    Fixture, brief,
    program::{runs, state},
};

#[tokio::test]
async fn a_signal_goes_to_the_group_and_the_lock_is_held_until_the_group_has_ended() {
    let fixture = Fixture::new().await;
    let script = "trap 'echo term; read -r line; echo bye; exit 3' TERM; echo ready; \
                  while :; do sleep 0.1; done";
    let mut program =
        fixture.leasehold(["lock", "--id", "me", "orders", "sh", "-c", script]).piped().start();
    assert_eq!(program.line().await, "ready");

    program.signal(Signal::TERM);
    assert_eq!(program.line().await, "term");
    let while_it_ends = fixture.holder("orders").await;
    program.write_line("go on\n").await;
    let ended = program.end().await;

    assert_eq!(while_it_ends.as_deref(), Some("me"));
    assert_eq!((ended.code, ended.text()), (Some(3), "bye\n"), "{ended:?}");
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn every_signal_is_forwarded_unchanged() {
    let fixture = Fixture::new().await;
    let script = "for s in HUP INT QUIT USR1 USR2 ALRM WINCH; do trap \"echo $s\" $s; done; echo ready; \
                  while :; do sleep 0.05; done";
    let mut program = fixture.leasehold(["lock", "orders", "sh", "-c", script]).start();
    assert_eq!(program.line().await, "ready");

    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
        (Signal::WINCH, "WINCH"),
    ] {
        program.signal(signal);
        assert_eq!(program.line().await, name);
    }
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(143));
}

#[tokio::test]
async fn a_killed_program_takes_its_group_along_and_a_successor_acquires() {
    let fixture = Fixture::new().await;
    let script = "(trap '' TERM HUP INT; echo $$; exec sh -c 'echo $$; while :; do sleep 1; done') & \
                  trap '' TERM; echo $$; wait; while :; do sleep 1; done";
    let args = ["lock", "--ttl", "2s", "orders", "sh", "-c", script];
    let mut program = fixture.leasehold(args).start();
    let pids = [program.line().await, program.line().await, program.line().await];

    program.signal(Signal::KILL);
    // All processes of the group have this pipe as their output.
    program.closed().await;
    let successor = fixture.handle().lock("orders", brief()).await.unwrap();

    assert!(pids.iter().all(|pid| !runs(pid)), "{pids:?}");
    successor.release().await.unwrap();
}

#[tokio::test]
async fn an_ignored_signal_stays_ignored() {
    let fixture = Fixture::new().await;
    let args = ["lock", "orders", "sh", "-c", "echo ready; read -r line; echo $line"];
    let mut program = fixture.leasehold(args).under("nohup").piped().start();
    assert_eq!(program.line().await, "ready");

    program.signal(Signal::HUP);
    program.write_line("still here\n").await;
    let ended = program.end().await;

    assert_eq!((ended.code, ended.text()), (Some(0), "still here\n"), "{ended:?}");
}

/// Waits until a signal has stopped the process.
async fn until_stopped(pid: &str) {
    for _ in 0..600 {
        if state(pid) == Some('T') {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("process {pid} is {:?}", state(pid));
}

#[tokio::test]
async fn a_signal_that_ends_also_ends_a_stopped_command() {
    let fixture = Fixture::new().await;
    let script = "echo $$; kill -STOP $$; exec sleep 60";
    let args = ["lock", "--ttl", "120s", "--grace", "40s", "orders", "sh", "-c", script];
    // In a session without a terminal.
    let mut program = fixture.leasehold(args).under("setsid").start();
    until_stopped(&program.line().await).await;

    program.signal(Signal::TERM);
    let ended = timeout(Duration::from_secs(20), program.end()).await.expect("before the grace");

    assert_eq!((ended.code, &*ended.stderr), (Some(143), ""), "{ended:?}");
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn without_a_terminal_a_command_that_stays_stopped_is_ended() {
    let fixture = Fixture::new().await;
    let script = "kill -STOP $$; exec sleep 60";
    let args = ["lock", "--grace", "1s", "orders", "sh", "-c", script];

    let ended = fixture.leasehold(args).under("setsid").end().await;

    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(ended.stderr_line().contains("`sh` was stopped for 1s"), "{ended:?}");
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn without_a_terminal_a_command_that_is_continued_goes_on() {
    let fixture = Fixture::new().await;
    let script = "echo $$; kill -STOP $$; read -r line; exit 4";
    let args = ["lock", "--ttl", "15s", "--grace", "3s", "orders", "sh", "-c", script];
    let mut program = fixture.leasehold(args).under("setsid").piped().start();
    let pid = program.line().await;
    until_stopped(&pid).await;

    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::CONT).unwrap();
    // One renewal each 5 s: the grace is over.
    fixture.until_requested("update", fixture.requests("update") + 2).await;
    program.write_line("go on\n").await;

    assert_eq!(program.end().await.code, Some(4));
}

#[tokio::test]
async fn without_a_command_it_holds_the_lock_until_a_signal() {
    let fixture = Fixture::new().await;
    let mut program = fixture.leasehold(["lock", "--id", "me", "-o", "json", "orders"]).start();

    let held: serde_json::Value = serde_json::from_str(&program.line().await).unwrap();
    let holder = fixture.holder("orders").await;
    program.signal(Signal::TERM);
    let ended = program.end().await;

    assert_eq!((&held["name"], &held["holder"]), (&"orders".into(), &"me".into()));
    assert!(held["token"].as_u64().unwrap() > 0);
    assert_eq!(holder.as_deref(), Some("me"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(fixture.holder("orders").await, None);
}
