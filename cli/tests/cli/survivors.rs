//! Commands that cannot be ended: their processes belong to another user.

use leasehold_test_support::Link;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{
    Fixture,
    program::{Program, runs},
};

/// Starts a process of another user and ends on a line of input.
const OTHER_USER: &str = "setpriv --reuid=65534 --clear-groups sh -c 'echo $$; exec sleep 60' & \
                          read -r line; exit 3";

/// The program without the right to end processes of other users, as it is for every user but root.
fn powerless(program: Program) -> Program {
    program.under("setpriv --bounding-set -kill").piped()
}

/// Only root can start processes of another user.
fn is_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("not tested: needs root");
    }
    root
}

fn kill(pid: &str) {
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_lock_stays_held_and_renewed_while_its_command_cannot_be_ended() {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new().await;
    let args =
        ["lock", "--id", "me", "--ttl", "4s", "--grace", "500ms", "orders", "sh", "-c", OTHER_USER];
    let mut program = powerless(fixture.leasehold(args)).start();
    let pid = program.line().await;

    program.write_line("end\n").await;
    let line = program.stderr_line().await;
    // A lock that is not renewed would expire within three renewals.
    fixture.until_requested("update", fixture.requests("update") + 4).await;
    let (holder, ran) = (fixture.holder("orders").await, runs(&pid));
    kill(&pid);
    let ended = program.end().await;

    assert!(line.contains("could not be ended") && line.contains("another user"), "{line}");
    assert_eq!((holder.as_deref(), ran), (Some("me"), true));
    assert_eq!((ended.code, &*ended.stderr), (Some(3), ""), "{ended:?}");
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn a_lock_that_is_lost_while_its_command_cannot_be_ended_is_not_released() {
    not_released("lock").await;
}

#[tokio::test]
async fn a_lead_that_is_lost_while_its_command_cannot_be_ended_is_not_released_nor_won_again() {
    not_released("elect").await;
}

async fn not_released(command: &str) {
    if !is_root() {
        return;
    }
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let args = [
        command, "--id", "me", "--ttl", "4s", "--grace", "500ms", "orders", "sh", "-c", OTHER_USER,
    ];
    let mut program = powerless(fixture.leasehold_of(&kubeconfig, args)).start();
    let pid = program.line().await;

    proxy.set(Link::BLACK_HOLE);
    // The pipes stay open, because the command has them too.
    let last = loop {
        let line = program.stderr_line().await;
        if line.contains("could not be ended") {
            break line;
        }
    };
    let code = program.code().await;
    let ran = runs(&pid);
    let leases = fixture.leases().list(&kube::api::ListParams::default()).await.unwrap().items;
    let holders: Vec<_> =
        leases.into_iter().filter_map(|lease| lease.spec?.holder_identity).collect();
    kill(&pid);

    assert_eq!(code, Some(70), "{last}");
    assert!(ran, "{last}");
    assert!(last.contains("another user") && last.contains("was not released"), "{last}");
    assert!(!last.contains("stopped"), "{last}");
    assert!(!holders.is_empty() && holders.iter().all(|holder| holder == "me"), "{holders:?}");
    assert_eq!(program.closed().await, "", "the command started once");
}
