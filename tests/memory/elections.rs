//! Candidates: how they join, lead, lose, resign and restart.

use std::time::Duration;

use futures::StreamExt as _;
use leasehold::{
    ElectEvent, Error, Fault, LeaderOptions, ListMembersOptions, LockOptions, Memory, Options,
    Role, Status, Sync as _, WatchElectOptions,
};
use tokio::time::sleep;

use crate::{pair, secs, soon, within};

#[tokio::test(start_paused = true)]
async fn resigning_ends_a_kept_tenure() {
    let (a, b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let tenure = leader.elected().await.unwrap().keep();
    let next = b.leader("e", LeaderOptions::default()).await.unwrap();

    leader.resign().await.unwrap();

    assert!(!tenure.is_held());
    drop(soon(next.elected()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn elected_returns_a_guard_for_a_kept_tenure_again() {
    let (a, _b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let kept = leader.elected().await.unwrap().keep();

    let again = soon(leader.elected()).await.unwrap();
    assert_eq!(again.token(), kept.token());
    drop(again);

    assert!(kept.is_held(), "dropping the second guard must not end a kept tenure");
}

#[tokio::test(start_paused = true)]
async fn the_election_is_free_once_run_has_returned() {
    let (a, b) = pair();
    for _ in 0..3 {
        let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
        a.inject(Fault::Delay(Duration::from_millis(300)));
        leader.run(|_| std::future::ready(())).await.unwrap();

        b.lock("e", LockOptions::default().try_once()).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_election_is_free_once_resign_has_returned_after_its_guard_was_dropped() {
    let (a, b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    a.inject(Fault::Delay(Duration::from_millis(300)));
    drop(guard);

    leader.resign().await.unwrap();

    drop(b.lock("e", LockOptions::default().try_once()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_was_denied_can_join_again_at_once() {
    let (a, _b) = pair();
    a.inject(Fault::Refuse);
    let error = a.leader("e", LeaderOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");

    a.leader("e", LeaderOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_restarted_candidate_joins_under_its_id_although_its_old_record_exists() {
    let (a, b) = pair();
    let _leads = b.leader("e", LeaderOptions::default()).await.unwrap();
    let fixed = LeaderOptions::default().candidate_id("pod-0");
    let _crashed = a.leader("e", fixed.clone()).await.unwrap();
    a.disturb(Some(Fault::LoseRequest));
    let restarted = a.another(Options::default().identity("c")).unwrap();

    let again = within(secs(5), restarted.leader("e", fixed)).await.unwrap();

    sleep(secs(150)).await;
    let members = b.list_members(ListMembersOptions::default()).await.unwrap();
    let listed = members
        .iter()
        .find(|member| member.candidate_id == "pod-0")
        .expect("the restarted candidate is listed under its id");
    assert_eq!(listed.role, Role::Follower);
    again.resign().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_restarted_candidate_does_not_report_its_earlier_tenure_as_its_lead() {
    let (a, _b) = pair();
    let fixed = LeaderOptions::default().candidate_id("pod-0");
    let crashed = a.leader("e", fixed.clone()).await.unwrap();
    crashed.elected().await.unwrap().keep();
    a.disturb(Some(Fault::LoseRequest));
    let restarted = a.another(Options::default().identity("c")).unwrap();

    let again = within(secs(5), restarted.leader("e", fixed)).await.unwrap();

    let before = again.observation();
    assert_eq!((before.status, before.primary), (Status::Follower, None));
    let _guard = soon(again.elected()).await.unwrap();
    assert_eq!(again.observation().status, Status::Leading);
    assert_eq!(again.primary().map(|member| member.candidate_id), Some("pod-0".into()));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_whose_member_record_was_denied_tries_again() {
    let (a, b) = pair();
    let _leads = b.leader("e", LeaderOptions::default()).await.unwrap();
    a.inject(Fault::Delay(Duration::ZERO));
    a.inject(Fault::Refuse);
    let _unlisted = a.leader("e", LeaderOptions::default()).await.unwrap();
    assert_eq!(b.list_members(ListMembersOptions::default()).await.unwrap().len(), 1);

    sleep(secs(120)).await;

    assert_eq!(b.list_members(ListMembersOptions::default()).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_lost_does_not_report_itself_as_leader() {
    let (a, _b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    assert_eq!(leader.primary().map(|member| member.candidate_id), Some("a".into()));

    a.disturb(Some(Fault::LoseRequest));
    guard.lost().await;
    sleep(secs(60)).await;
    assert_eq!(leader.primary(), None, "the candidate has lost");

    a.disturb(None);
    drop(soon(leader.elected()).await.unwrap());
    leader.resign().await.unwrap();
    assert_eq!(leader.primary(), None, "the candidate has resigned");
}

#[tokio::test(start_paused = true)]
async fn the_status_shows_doubt_loss_and_a_new_lead() {
    let (a, _b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let _guard = leader.elected().await.unwrap();
    let mut status = leader.watch().map(|seen| seen.status);
    assert_eq!(status.next().await, Some(Status::Leading));

    a.disturb(Some(Fault::LoseRequest));

    assert_eq!(soon(status.next()).await, Some(Status::InDoubt));
    assert_eq!(soon(status.next()).await, Some(Status::Lost));
    a.disturb(None);
    let next = loop {
        match soon(status.next()).await.unwrap() {
            Status::Follower => {}
            other => break other,
        }
    };
    assert_eq!(next, Status::Leading);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_leader_that_is_cancelled_leaves_no_member() {
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Delay(secs(3))] {
        let (a, b) = pair();
        let leads = b.leader("e", LeaderOptions::default()).await.unwrap();
        for n in 0..20 {
            a.inject(Fault::Delay(Duration::ZERO));
            a.inject(fault);
            {
                let mut joining = a.leader("e", LeaderOptions::default());
                for _ in 0..n {
                    if futures::future::poll_immediate(&mut joining).await.is_some() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            sleep(secs(70)).await;
            let members = b.list_members(ListMembersOptions::default()).await.unwrap();
            assert_eq!(members.len(), 1, "{fault:?}, after {n} polls: {members:?}");
        }
        leads.resign().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn applications_with_different_prefixes_do_not_see_each_others_members() {
    let one = Memory::new(Options::default().prefix("one-")).unwrap();
    let two = one.another(Options::default().prefix("two-")).unwrap();
    let options = || LeaderOptions::default().ttl(Duration::from_secs(3));
    let first = one.leader("leader", options().candidate_id("a")).await.unwrap();
    let _second = two.leader("leader", options().candidate_id("b")).await.unwrap();

    let listed = async |sync: &Memory| {
        let members = sync.list_members(ListMembersOptions::default()).await.unwrap();
        members.into_iter().map(|member| (member.election, member.candidate_id)).collect::<Vec<_>>()
    };

    assert_eq!(listed(&one).await, [("leader".into(), "a".into())]);
    assert_eq!(listed(&two).await, [("leader".into(), "b".into())]);
    let mut events = two.watch_elect(WatchElectOptions::default()).await.unwrap();
    first.resign().await.unwrap();
    for _ in 0..2 {
        assert_eq!(events.next().await.unwrap().member().candidate_id, "b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_denied_reports_no_loss_and_sends_few_requests() {
    let (a, b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    let mut events = b.watch_elect(WatchElectOptions::default()).await.unwrap();
    for _ in ["joined", "elected"] {
        events.next().await.unwrap();
    }
    let before = b.request_count();

    b.disturb(Some(Fault::Refuse));
    let while_cut_off = tokio::time::timeout(secs(120), events.next()).await;
    let asked = b.request_count() - before;
    b.disturb(None);
    let after = tokio::time::timeout(secs(60), events.next()).await;
    drop(guard);
    let lost = soon(events.next()).await;

    assert!(while_cut_off.is_err(), "an event without a list that confirms it: {while_cut_off:?}");
    assert!((2..=30).contains(&asked), "{asked} requests in two minutes");
    assert!(after.is_err(), "the leader never lost, so there is no event: {after:?}");
    assert!(matches!(lost, Some(ElectEvent::Lost(_))), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_shows_its_status_and_tenure_without_a_guard() {
    let (a, b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let follower = b.leader("e", LeaderOptions::default()).await.unwrap();
    let untaken = leader.tenure().unwrap().token();
    let guard = leader.elected().await.unwrap();

    assert_eq!((untaken, leader.status()), (guard.token(), Status::Leading));
    assert!(follower.tenure().is_none() && follower.status() == Status::Follower);
    a.disturb(Some(Fault::LoseRequest));
    sleep(secs(8)).await;
    assert_eq!(leader.tenure().unwrap().token(), guard.token());
    assert_eq!(leader.status(), Status::InDoubt);
    guard.lost().await;
    assert!(
        leader.tenure().is_none(),
        "the loss shows at once, before the background task has noticed"
    );
    assert_ne!(leader.status(), Status::InDoubt);
    sleep(secs(3)).await;
    assert!(leader.last_error().unwrap().is_transient());
    soon(follower.elected()).await.unwrap().keep();
    assert_eq!(follower.status(), Status::Leading);
    follower.resign().await.unwrap();
    assert!(follower.tenure().is_none() && follower.status() == Status::Resigned);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_follower_is_over_once_its_watch_works_again() {
    let (a, b) = pair();
    let leads = a.leader("e", LeaderOptions::default()).await.unwrap();
    let _guard = leads.elected().await.unwrap();
    let follows = b.leader("e", LeaderOptions::default()).await.unwrap();
    b.disturb(Some(Fault::LoseRequest));
    while follows.last_error().is_none() {
        sleep(Duration::from_millis(100)).await;
    }

    b.disturb(None);
    sleep(secs(2)).await;

    assert_eq!(follows.last_error().map(|error| error.to_string()), None);
    assert_eq!(follows.status(), Status::Follower);
}

#[tokio::test(start_paused = true)]
async fn the_streams_of_a_candidate_and_its_tenure_stay_ended() {
    let (a, _b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    let (mut seen, mut states) = (leader.watch(), guard.states());
    drop(guard);
    leader.resign().await.unwrap();

    while seen.next().await.is_some() {}
    while states.next().await.is_some() {}

    assert_eq!((seen.next().await, states.next().await), (None, None));
}
