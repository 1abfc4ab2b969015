//! The records of candidates that were killed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use leasehold::{Clock, Kubernetes, LeaderOptions, Options, Sync as _};
use leasehold_test_support::{Rule, since};

use super::{POLL, Place};
use crate::ADMIN;

const ROLE: &str = "LEASEHOLD_TEST_CANDIDATE";
/// A tenure of the leader that outlasts the jumps of its clock.
const LONG: Duration = Duration::from_secs(86_400);

/// Not a test: the candidate, which the tests below start as a separate process.
#[tokio::test]
async fn candidate() {
    let Ok(namespace) = std::env::var(ROLE) else { return };
    let sync = Kubernetes::connect(Options::default().namespace(namespace)).await.unwrap();
    let _leader = sync.leader("billing", LeaderOptions::default()).await.unwrap();
    println!("\ncandidate: listed");
    std::future::pending::<()>().await;
}

/// Starts candidates in separate processes, waits until each is listed, and kills them with SIGKILL.
fn start_and_kill(place: &Place, count: usize) {
    let start = |_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "leftovers::candidate", "--nocapture"]);
        command.env(ROLE, &place.namespace).env("KUBECONFIG", place.plane.kubeconfig(ADMIN));
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let started: Vec<Child> = (0..count).map(start).collect();
    for mut child in started {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map(Result::unwrap).any(|line| line == "candidate: listed"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A handle whose clock jumps with the runtime's.
fn handle(place: &Place, user: &str) -> Kubernetes {
    place.handle_of(user, place.options().clock(Clock::Runtime))
}

fn options(id: &str) -> LeaderOptions {
    LeaderOptions::default().ttl(LONG).candidate_id(id)
}

/// Lets the clock of the runtime jump by `total` in steps that are shorter than the renewal interval of a candidate's
/// record, with time for requests after each step.
async fn jump(total: Duration) {
    const STEP: Duration = Duration::from_secs(25);
    let mut left = total;
    while !left.is_zero() {
        let step = STEP.min(left);
        tokio::time::pause();
        tokio::time::advance(step).await;
        tokio::time::resume();
        tokio::time::sleep(POLL * 2).await;
        left -= step;
    }
}

async fn candidates(place: &Place) -> Vec<String> {
    let names = place.names().await.into_iter();
    names.filter(|name| name != "billing").collect()
}

#[tokio::test]
async fn the_leader_deletes_the_records_of_killed_candidates_and_keeps_those_of_live_ones() {
    let place = Place::new().await;
    let (first, second) = (handle(&place, ADMIN), handle(&place, ADMIN));
    let leader = first.leader("billing", options("first")).await.unwrap();
    let lead = leader.elected().await.unwrap();
    let _follower = second.leader("billing", options("second")).await.unwrap();
    let live = candidates(&place).await;
    start_and_kill(&place, 5);
    assert_eq!(candidates(&place).await.len(), 6, "a killed candidate leaves its record");
    let before = place.requests();

    // A jump ends the requests under way, as after their time limit. The record of a deletion that ended so stays until
    // one of the next lists, which come every 8 to 12 minutes.
    for _ in 0..4 {
        jump(Duration::from_secs(26 * 60)).await;
        if candidates(&place).await == live {
            break;
        }
    }

    assert_eq!(candidates(&place).await, live, "only the live one is left");
    assert!(lead.is_held());
    let sent = since(&before, &place.requests());
    assert!(sent.get("delete").is_some_and(|&deletions| deletions >= 5), "{sent:?}");
}

#[tokio::test]
async fn a_live_candidate_whose_record_was_deleted_writes_it_again() {
    let place = Place::new().await;
    let (first, second) = (handle(&place, ADMIN), handle(&place, ADMIN));
    let leader = first.leader("billing", options("first")).await.unwrap();
    let _lead = leader.elected().await.unwrap();
    let _follower = second.leader("billing", options("second")).await.unwrap();
    let live = candidates(&place).await;

    // As a leader does after a pause of the candidate for longer than several ttls.
    let deletion = kube::api::DeleteParams::default();
    place.leases().delete(&live[0], &deletion).await.unwrap();
    assert!(candidates(&place).await.is_empty());
    jump(Duration::from_secs(50)).await;

    for _ in 0..600 {
        if candidates(&place).await == live {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("waited in vain for {live:?}");
}

#[tokio::test]
async fn without_the_permission_to_delete_the_leader_leads_on_and_the_records_stay() {
    let place = Place::new().await;
    let verbs = ["get", "create", "update", "list", "watch"];
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&verbs)]).await;
    let alice = handle(&place, "alice");
    let leader = alice.leader("billing", options("first")).await.unwrap();
    let lead = leader.elected().await.unwrap();
    start_and_kill(&place, 1);

    jump(Duration::from_secs(26 * 60)).await;

    assert_eq!(candidates(&place).await.len(), 1);
    place.until_audited("alice", "delete").await;
    assert!(lead.is_held() && leader.last_error().is_none());
}
