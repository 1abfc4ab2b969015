//! Signals to the program while its command runs.

use leasehold::Sync as _;
use rustix::process::Signal;

use crate::{Fixture, brief, program::runs};

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
