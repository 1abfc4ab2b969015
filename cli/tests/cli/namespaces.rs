//! Process ids and `/proc` as some containers have them. The tests need the right to make namespaces.

use std::{fs, time::Duration};

use leasehold_test_support::processes::Process;
use rustix::process::{Pid, Signal, kill_process};

use crate::Fixture;

/// A first process of a namespace. It says how the program ended, and whether the process in the file `left` still
/// runs.
const FIRST: &str = "here=$1; shift; \"$@\" </dev/null; echo code $?; \
                     if kill -0 $(cat $here/left) 2>/dev/null; then echo left; fi";
/// Leaves a process in another session, which ignores TERM, and many that have ended.
const COMMAND: &str = "for i in $(seq 50); do setsid -f true; done; \
                       setsid -f sh -c \"trap '' TERM; echo \\$\\$ >$HERE/new; mv $HERE/new $HERE/left; \
                       while :; do sleep 0.1; done\"; \
                       until [ -e $HERE/left ]; do sleep 0.05; done; exit 5";

/// Whether `unshare` may make namespaces like this one.
fn is_possible(unshare: &str) -> bool {
    let mut words = unshare.split(' ');
    let program = words.next().unwrap();
    let possible = std::process::Command::new(program).args(words).arg("true").output();
    let possible = possible.is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("not tested: `{unshare}` fails here");
    }
    possible
}

async fn ends_what_is_left(unshare: &str) {
    if !is_possible(unshare) {
        return;
    }
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().to_str().unwrap();
    let first = directory.path().join("first");
    fs::write(&first, FIRST).unwrap();

    let args = ["lock", "--grace", "500ms", "orders", "sh", "-c", COMMAND];
    let program = fixture.leasehold(args).env("HERE", here);
    let ended = program.under(&format!("{unshare} sh {} {here}", first.display())).end().await;

    assert_eq!((ended.text(), &*ended.stderr), ("code 5\n", ""), "{ended:?}");
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn in_a_session_of_another_pid_namespace_what_is_left_has_ended_before_the_release() {
    ends_what_is_left("unshare --pid --fork --kill-child --mount-proc").await;
}

#[tokio::test]
async fn with_the_proc_of_another_pid_namespace_what_is_left_has_ended_before_the_release() {
    ends_what_is_left("unshare --pid --fork --kill-child").await;
}

#[tokio::test]
async fn a_missing_proc_is_reported_before_a_lock_is_requested() {
    let unshare = "unshare --mount";
    if !is_possible(unshare) {
        return;
    }
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("first");
    fs::write(&first, "while umount -l /proc 2>/dev/null; do :; done; exec \"$@\"").unwrap();

    let program = fixture.leasehold(["lock", "orders", "true"]);
    let ended = program.under(&format!("{unshare} sh {}", first.display())).end().await;

    assert_eq!(ended.code, Some(70), "{ended:?}");
    assert!(ended.stderr_line().contains("`/proc` is not mounted"), "{ended:?}");
    assert!(fixture.leases().get_opt("orders").await.unwrap().is_none(), "nothing was locked");
}

#[tokio::test]
async fn the_first_process_of_a_container_ends_at_a_signal_with_every_command() {
    let unshare = "unshare --pid --fork --kill-child --mount-proc";
    if !is_possible(unshare) {
        return;
    }
    let fixture = Fixture::new().await;
    for (words, is_on_stderr) in [
        (&["status", "-w"][..], false),
        (&["members", "-w"], false),
        (&["watch"], true),
        (&["demo"], false),
    ] {
        let mut program = fixture.leasehold(words.iter().copied()).under(unshare).start();
        let begun = if is_on_stderr { program.stderr_line().await } else { program.line().await };
        let parent = Process::find(program.pid().as_raw_nonzero()).unwrap();
        let first = parent.children().first().unwrap().field("Pid").unwrap().to_owned();

        kill_process(Pid::from_raw(first.parse().unwrap()).unwrap(), Signal::TERM).unwrap();
        let code = program.ended_within(Duration::from_secs(10)).await;

        assert_eq!(code, Some(Some(143)), "{words:?} after {begun}");
    }
}
