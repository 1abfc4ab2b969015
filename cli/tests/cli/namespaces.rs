//! Process ids and `/proc` as some containers have them. The tests need the right to make namespaces.

use std::fs;

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
