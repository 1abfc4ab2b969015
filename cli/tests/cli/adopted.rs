//! Processes that the command leaves behind, outside its process group.

use std::time::Duration;

use leasehold::{LockOptions, Sync as _};
use leasehold_test_support::processes::Process;

use crate::{
    Fixture,
    program::{Running, runs},
};

/// The ended children of the program that it did not reap.
fn zombies(program: &Running) -> usize {
    let process = Process::find(program.pid().as_raw_nonzero()).unwrap();
    process.children().iter().filter(|child| child.state() == 'Z').count()
}

#[tokio::test]
async fn adopted_processes_that_end_are_reaped() {
    let fixture = Fixture::new().await;
    let script = "for i in $(seq 400); do setsid -f true; done; echo ready; read -r line";
    let mut program = fixture.leasehold(["lock", "orders", "sh", "-c", script]).piped().start();
    assert_eq!(program.line().await, "ready");

    let mut left = zombies(&program);
    for _ in 0..200 {
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        left = zombies(&program);
    }
    program.write_line("end\n").await;

    assert_eq!(left, 0);
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn what_is_left_below_the_program_has_ended_before_the_release() {
    let fixture = Fixture::new().await;
    let stubborn = "trap '' TERM; echo $$; sh -c 'echo $$; while :; do sleep 1; done'";
    // In another process group of this session, which `timeout` makes, and in another session.
    let script = format!(
        "sh -c 'timeout 60 sleep 60 & echo $!'; setsid -f sh -c \"{}\"; read -r line; exit 5",
        stubborn.replace('$', "\\$")
    );
    let args = ["lock", "--grace", "500ms", "orders", "sh", "-c", &script];
    let mut program = fixture.leasehold(args).piped().start();
    let pids = [program.line().await, program.line().await, program.line().await];
    let sync = fixture.handle();
    let successor = tokio::spawn(async move { sync.lock("orders", LockOptions::default()).await });

    program.write_line("end\n").await;
    let guard = successor.await.unwrap().unwrap();
    let alive: Vec<_> = pids.iter().filter(|pid| runs(pid)).collect();
    let ended = program.end().await;

    assert!(alive.is_empty(), "{alive:?} of {pids:?} ran when the successor held");
    assert_eq!((ended.code, &*ended.stderr), (Some(5), ""), "{ended:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_process_that_dropped_its_environment_has_ended_before_the_release() {
    let fixture = Fixture::new().await;
    // `timeout` makes a process group of its own, in this session. Its child begins after that.
    let script = "env -i timeout 60 sh -c 'echo $PPID; exec sleep 60' & read -r line; exit 5";
    let mut program = fixture.leasehold(["lock", "orders", "sh", "-c", script]).piped().start();
    let pid = program.line().await;
    let sync = fixture.handle();
    let successor = tokio::spawn(async move { sync.lock("orders", LockOptions::default()).await });

    program.write_line("end\n").await;
    let guard = successor.await.unwrap().unwrap();
    let alive = runs(&pid);
    let ended = program.end().await;

    assert!(!alive, "{pid} ran when the successor held");
    assert_eq!((ended.code, &*ended.stderr), (Some(5), ""), "{ended:?}");
    guard.release().await.unwrap();
}
