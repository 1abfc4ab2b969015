//! Elections of sessions: candidates in a queue.

use futures::StreamExt as _;
use leasehold::{
    Fault, Leader, LeaderOptions, ListMembersOptions, Memory, Options, Role, Session,
    SessionOptions, Status, Sync as _,
};

use super::secs;

const SOON: std::time::Duration = std::time::Duration::from_millis(100);

async fn session(memory: &Memory) -> Session {
    memory.session(SessionOptions::default()).await.expect("a session")
}

fn another(memory: &Memory) -> Memory {
    memory.another(Options::default()).expect("valid options")
}

async fn join(sync: &impl leasehold::Sync, id: &str) -> Leader {
    let options = LeaderOptions::default().candidate_id(id);
    sync.leader("billing", options).await.expect("a candidate")
}

async fn members(sync: &impl leasehold::Sync) -> Vec<(String, Role)> {
    let options = ListMembersOptions::default().election("billing");
    let members = sync.list_members(options).await.expect("a list");
    members.into_iter().map(|member| (member.candidate_id, member.role)).collect()
}

fn named(members: &[(&str, Role)]) -> Vec<(String, Role)> {
    members.iter().map(|(id, role)| ((*id).to_owned(), *role)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_candidacy_costs_no_request_of_its_own_while_nothing_changes() {
    let memory = Memory::default();
    let one = session(&memory).await;
    let mut leaders = Vec::new();
    for number in 0..100 {
        let name = format!("election-{number}");
        let leader = one.leader(&name, LeaderOptions::default()).await.expect("a candidate");
        leader.elected().await.expect("elected").keep();
        leaders.push(leader);
    }
    tokio::time::sleep(secs(1)).await;

    let before = memory.request_count();
    tokio::time::sleep(secs(60)).await;

    let sent = memory.request_count() - before;
    assert!(sent <= 16, "12 heartbeats and 2 lists a minute, whatever it leads: {sent}");
    assert!(leaders.iter().all(|leader| leader.status() == Status::Leading));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_of_a_crashed_session_is_not_listed() {
    let crashing = Memory::default();
    let observer = another(&crashing);
    let one = session(&crashing).await;
    let lead = join(&one, "one").await;
    lead.elected().await.expect("elected").keep();
    assert_eq!(members(&observer).await, named(&[("one", Role::Leader)]));

    crashing.disturb(Some(Fault::LoseRequest));
    tokio::time::sleep(secs(40)).await;

    assert_eq!(members(&observer).await, [], "no candidate is left that could pass it over");
}

#[tokio::test(start_paused = true)]
async fn a_watch_reports_a_leader_whose_session_is_over() {
    let crashing = Memory::default();
    let observer = another(&crashing);
    let one = session(&crashing).await;
    let lead = join(&one, "one").await;
    lead.elected().await.expect("elected").keep();
    let mut events = observer.watch_elect(leasehold::WatchElectOptions::default()).await.unwrap();
    for _ in 0..2 {
        events.next().await;
    }

    crashing.disturb(Some(Fault::LoseRequest));

    let lost = tokio::time::timeout(secs(120), events.next()).await.expect("an event");
    assert!(matches!(lost, Some(leasehold::ElectEvent::Lost(_))), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn candidates_with_and_without_a_session_respect_each_other_and_are_listed_together() {
    let memory = Memory::default();
    let (plain, queued) = (another(&memory), session(&another(&memory)).await);
    let first = join(&plain, "plain").await;
    let lead = first.elected().await.expect("elected");
    let second = tokio::spawn(async move {
        let second = join(&queued, "queued").await;
        let guard = second.elected().await.expect("elected");
        (queued, second, guard)
    });
    while members(&memory).await.len() < 2 {
        tokio::time::sleep(SOON).await;
    }

    let listed = members(&memory).await;
    assert_eq!(listed, named(&[("plain", Role::Leader), ("queued", Role::Follower)]));
    assert!(lead.is_held() && !second.is_finished());
    first.resign().await.expect("resigned");
    let (queued, second, guard) = second.await.expect("no panic");
    let third = join(&plain, "plain").await;
    assert_eq!(
        members(&queued).await,
        named(&[("queued", Role::Leader), ("plain", Role::Follower)]),
    );
    assert!(guard.is_held());
    second.resign().await.expect("resigned");
    third.elected().await.expect("the free election is acquired").keep();
}

#[tokio::test(start_paused = true)]
async fn only_a_candidate_that_is_watched_learns_of_a_new_leader_at_once() {
    let memory = Memory::default();
    let sessions = [
        session(&another(&memory)).await,
        session(&another(&memory)).await,
        session(&memory).await,
    ];
    let first = join(&sessions[0], "one").await;
    let (second, third) = (join(&sessions[1], "two").await, join(&sessions[2], "three").await);
    first.elected().await.expect("elected").keep();
    let primary = |leader: &Leader| leader.primary().map(|member| member.candidate_id);
    let mut watched = Box::pin(third.watch().filter_map(async |seen| seen.primary));
    while watched.next().await.expect("an observation").candidate_id != "one" {}

    first.resign().await.expect("resigned");
    second.elected().await.expect("elected").keep();

    let next = tokio::time::timeout(secs(1), async {
        while watched.next().await.expect("an observation").candidate_id != "two" {}
    });
    next.await.expect("the watch reports it");
    drop(watched);
    let again = join(&sessions[0], "one").await;
    second.resign().await.expect("resigned");
    third.elected().await.expect("elected").keep();
    while primary(&again).as_deref() != Some("three") {
        tokio::time::sleep(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_candidate_whose_session_was_deleted_competes_again_at_the_end() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let (first, second) = (join(&one, "one").await, join(&two, "two").await);
    let lead = first.elected().await.expect("elected");

    assert!(memory.delete_session(&one.id()));
    second.elected().await.expect("the next candidate is elected").keep();

    assert!(!lead.is_held());
    let both = tokio::time::timeout(secs(60), async {
        while members(&two).await.len() < 2 {
            tokio::time::sleep(SOON).await;
        }
    });
    both.await.expect("the lost candidate is listed again");
    assert_eq!(members(&two).await, named(&[("two", Role::Leader), ("one", Role::Follower)]));
    second.resign().await.expect("resigned");
    first.elected().await.expect("elected again").keep();
}

#[tokio::test(start_paused = true)]
async fn a_closed_session_ends_its_candidates() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let (first, second) = (join(&one, "one").await, join(&two, "two").await);
    let lead = first.elected().await.expect("elected");

    one.end().await.expect("ended");

    assert_eq!((first.status(), lead.is_held()), (Status::Resigned, false));
    assert!(first.elected().await.is_err(), "a candidate of a closed session is never elected");
    second.elected().await.expect("the next candidate is elected").keep();
    assert_eq!(members(&two).await, named(&[("two", Role::Leader)]));
}
