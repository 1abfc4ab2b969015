//! `leasehold elect`: a command that runs while this candidate leads.

use leasehold::{LeaderOptions, Sync as _};
use rustix::process::Signal;
use serde_json::Value;

use crate::{BRIEF, Fixture, program::runs};

const SCRIPT: &str = "echo $LEASEHOLD_TOKEN $$; while :; do sleep 0.1; done";

#[track_caller]
fn parse(line: &str) -> (u64, String) {
    let (token, pid) = line.split_once(' ').unwrap();
    (token.parse().unwrap(), pid.to_owned())
}

#[tokio::test]
async fn the_exit_code_is_passed_on_and_the_candidate_resigns() {
    let fixture = Fixture::new().await;

    let ended = fixture.leasehold(["elect", "billing", "sh", "-c", "exit 7"]).end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(7), ""));
    assert_eq!(fixture.holder("billing").await, None);
    let members = fixture.leasehold(["members", "-o", "json"]).end().await;
    assert_eq!(members.text(), "", "no candidate is left");
}

#[tokio::test]
async fn the_command_of_a_killed_leader_is_dead_before_a_successor_leads() {
    let fixture = Fixture::new().await;
    let elect =
        |id| fixture.leasehold(["elect", "--ttl", "2s", "--id", id, "billing", "sh", "-c", SCRIPT]);
    let mut first = elect("first").start();
    let (token, pid) = parse(&first.line().await);
    let mut second = elect("second").start();

    first.signal(Signal::KILL);
    let (next, _) = parse(&second.line().await);
    let alive = runs(&pid);

    assert!(!alive, "the first command ran when the second began");
    assert!(next > token);
    second.signal(Signal::TERM);
    assert_eq!(second.end().await.code, Some(143));
    assert_eq!(fixture.holder("billing").await, None);
}

/// Gives the lead to a holder that never renews.
async fn take_away(fixture: &Fixture) {
    fixture
        .edit("billing", |lease| {
            let spec = lease.spec.as_mut().unwrap();
            spec.holder_identity = Some("another".into());
            spec.lease_duration_seconds = Some(1);
        })
        .await;
}

#[tokio::test]
async fn the_command_is_stopped_with_the_lead_and_started_with_the_next_one() {
    let fixture = Fixture::new().await;
    let mut program =
        fixture.leasehold(["elect", "--ttl", "2s", "billing", "sh", "-c", SCRIPT]).start();
    let (token, pid) = parse(&program.line().await);

    take_away(&fixture).await;
    let (next, other) = parse(&program.line().await);

    assert!(next > token && !runs(&pid) && runs(&other));
    let line = program.stderr_line().await;
    let parts =
        ["election `billing` in namespace ", " was lost while `sh` ran", "still a candidate"];
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(143));
}

#[tokio::test]
async fn with_once_a_lost_lead_ends_the_program_with_79() {
    let fixture = Fixture::new().await;
    let args = ["elect", "--once", "--ttl", "2s", "billing", "sh", "-c", SCRIPT];
    let mut program = fixture.leasehold(args).start();
    let (_, pid) = parse(&program.line().await);

    take_away(&fixture).await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(79), "{ended:?}");
    assert!(ended.stderr_line().contains("election `billing`") && !runs(&pid), "{ended:?}");
}

#[tokio::test]
async fn without_a_command_it_prints_the_leader_and_leaves_no_candidate() {
    let fixture = Fixture::new().await;
    let sync = fixture.handle();
    let options = LeaderOptions::default().ttl(BRIEF).candidate_id("other");
    let leader = sync.leader("billing", options).await.unwrap();
    let lead = leader.elected().await.unwrap();

    let mut program = fixture.leasehold(["elect", "--id", "me", "-o", "json", "billing"]).start();
    let follows = until(&mut program, |line| line["leader"]["candidate_id"] == "other").await;
    drop(lead);
    leader.resign().await.unwrap();
    let leads = until(&mut program, |line| line["status"] == "leading").await;
    program.signal(Signal::INT);
    let ended = program.end().await;

    assert_eq!(follows["candidate_id"], "me");
    assert_eq!(leads["candidate_id"], "me");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(sync.list_members(leasehold::ListMembersOptions::default()).await.unwrap(), []);
}

#[tokio::test]
async fn as_text_a_token_that_becomes_known_is_no_second_line() {
    let fixture = Fixture::new().await;
    let sync = fixture.handle();
    let options = LeaderOptions::default().ttl(BRIEF).candidate_id("other");
    let leader = sync.leader("billing", options).await.unwrap();
    leader.elected().await.unwrap().keep();

    let mut program = fixture.leasehold(["elect", "--id", "me", "billing"]).start();
    let mut lines = vec![program.line().await];
    while lines.last().is_some_and(|line| !line.contains("follower")) {
        lines.push(program.line().await);
    }
    fixture.until_tokens(1).await;
    fixture.until_member("me").await;
    leader.resign().await.unwrap();
    while lines.last().is_some_and(|line| !line.contains("me leads")) {
        lines.push(program.line().await);
    }
    program.signal(Signal::INT);
    assert_eq!(program.end().await.code, Some(0));

    let repeated = lines.windows(2).any(|pair| pair[0] == pair[1]);
    assert!(!repeated, "{lines:?}");
}

/// The first line that satisfies `matches`.
async fn until(program: &mut super::program::Running, matches: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line: Value = serde_json::from_str(&program.line().await).unwrap();
        if matches(&line) {
            return line;
        }
    }
}

#[tokio::test]
async fn a_signal_to_a_follower_leaves_no_candidate() {
    let fixture = Fixture::new().await;
    let sync = fixture.handle();
    let leader =
        sync.leader("billing", LeaderOptions::default().candidate_id("other")).await.unwrap();
    let _lead = leader.elected().await.unwrap();
    let follower = fixture.leasehold(["elect", "--id", "me", "billing", "echo", "in"]).start();
    fixture.until_member("me").await;

    follower.signal(Signal::TERM);
    let ended = follower.end().await;

    assert_eq!((ended.code, ended.text()), (Some(143), ""));
    let members = fixture.leasehold(["members", "-o", "json", "billing"]).end().await;
    assert!(!members.text().contains("\"me\""), "{members:?}");
}

impl Fixture {
    async fn until_member(&self, id: &str) {
        use futures::StreamExt as _;

        let options = leasehold::WatchElectOptions::default();
        let mut events = self.handle().watch_elect(options).await.unwrap();
        while events.next().await.unwrap().member().candidate_id != id {}
    }
}
