//! A command that runs while its candidate leads.

use leasehold::{LeaderOptions, Sync as _};
use rustix::process::Signal;
use serde_json::Value;

use crate::{BRIEF, Place, program::runs};

const SAY: &str = "echo $LEASEHOLD_TOKEN $$; while :; do sleep 0.1; done";

#[track_caller]
fn parse(line: &str) -> (u64, String) {
    let (token, pid) = line.split_once(' ').unwrap();
    (token.parse().unwrap(), pid.to_owned())
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_command_and_the_candidate_resigns() {
    let place = Place::new().await;

    let ended = place.leasehold(["elect", "billing", "sh", "-c", "exit 7"]).end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(7), ""));
    assert_eq!(place.holder("billing").await, None);
    let members = place.leasehold(["members", "-o", "json"]).end().await;
    assert_eq!(members.text(), "", "no candidate is left");
}

#[tokio::test]
async fn a_leader_that_is_killed_is_succeeded_after_its_command_is_dead() {
    let place = Place::new().await;
    let elect =
        |id| place.leasehold(["elect", "--ttl", "2s", "--id", id, "billing", "sh", "-c", SAY]);
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
    assert_eq!(place.holder("billing").await, None);
}

/// Gives the election to somebody who never renews.
async fn take_away(place: &Place) {
    place
        .edit("billing", |lease| {
            let spec = lease.spec.as_mut().unwrap();
            spec.holder_identity = Some("somebody".into());
            spec.lease_duration_seconds = Some(1);
        })
        .await;
}

#[tokio::test]
async fn the_command_is_stopped_with_the_lead_and_started_again_with_the_next() {
    let place = Place::new().await;
    let mut program = place.leasehold(["elect", "--ttl", "2s", "billing", "sh", "-c", SAY]).start();
    let (token, pid) = parse(&program.line().await);

    take_away(&place).await;
    let (next, other) = parse(&program.line().await);

    assert!(next > token && !runs(&pid) && runs(&other));
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(143));
}

#[tokio::test]
async fn once_it_has_lost_the_lead_it_ends_with_79_if_asked_to() {
    let place = Place::new().await;
    let args = ["elect", "--once", "--ttl", "2s", "billing", "sh", "-c", SAY];
    let mut program = place.leasehold(args).start();
    let (_, pid) = parse(&program.line().await);

    take_away(&place).await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(79), "{ended:?}");
    assert!(ended.said().contains("election `billing`") && !runs(&pid), "{ended:?}");
}

#[tokio::test]
async fn without_a_command_it_tells_who_leads_and_leaves_no_candidate() {
    let place = Place::new().await;
    let sync = place.handle();
    let options = LeaderOptions::default().ttl(BRIEF).id("other");
    let leader = sync.leader("billing", options).await.unwrap();
    let lead = leader.elected().await.unwrap();

    let mut program = place.leasehold(["elect", "--id", "me", "-o", "json", "billing"]).start();
    let follows = until(&mut program, |line| line["leader"]["id"] == "other").await;
    drop(lead);
    leader.resign().await.unwrap();
    let leads = until(&mut program, |line| line["status"] == "leading").await;
    program.signal(Signal::INT);
    let ended = program.end().await;

    assert_eq!(follows["id"], "me");
    assert_eq!(leads["id"], "me");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(sync.list_members(leasehold::ListMembersOptions::default()).await.unwrap(), []);
}

/// The first line for which `so` holds.
async fn until(program: &mut super::program::Running, so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line: Value = serde_json::from_str(&program.line().await).unwrap();
        if so(&line) {
            return line;
        }
    }
}

#[tokio::test]
async fn a_signal_to_a_follower_leaves_no_candidate() {
    let place = Place::new().await;
    let sync = place.handle();
    let leader =
        sync.leader("billing", LeaderOptions::default().candidate_id("other")).await.unwrap();
    let _lead = leader.elected().await.unwrap();
    let follower = place.leasehold(["elect", "--id", "me", "billing", "echo", "in"]).start();
    place.until_member("me").await;

    follower.signal(Signal::TERM);
    let ended = follower.end().await;

    assert_eq!((ended.code, ended.text()), (Some(143), ""));
    let members = place.leasehold(["members", "-o", "json", "billing"]).end().await;
    assert!(!members.text().contains("\"me\""), "{members:?}");
}

impl Place {
    async fn until_member(&self, id: &str) {
        use futures::StreamExt as _;

        let options = leasehold::WatchElectOptions::default();
        let mut events = self.handle().watch_elect(options).await.unwrap();
        while events.next().await.unwrap().member().candidate_id != id {}
    }
}
