//! Checks of the list of members, and of the events of elections.

use futures::{StreamExt as _, future::poll_immediate};

use super::{Pair, elections::join, identity, must, unique};
use crate::{
    DynSync, ElectEvent, ElectWatcher, Error, LeaderOptions, ListMembersOptions, Member, Role,
    WatchElectOptions,
};

async fn members(sync: &DynSync, election: &str) -> Vec<Member> {
    let options = ListMembersOptions::default().election(election);
    must(sync.list_members(options).await, "members can be listed")
}

fn roles(members: &[Member]) -> Vec<(&str, Role)> {
    let mut roles: Vec<_> =
        members.iter().map(|member| (&*member.candidate_id, member.role)).collect();
    roles.sort_unstable_by_key(|&(id, role)| (role != Role::Leader, id));
    roles
}

/// Waits until the members of `election` are `expected`, because a dropped candidate is removed in the background.
async fn settle(sync: &DynSync, election: &str, expected: &[(&str, Role)]) {
    while roles(&members(sync, election).await) != expected {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

pub(super) async fn members_are_listed_with_their_roles(pair: Pair<'_>) {
    let name = unique("members");
    assert_eq!(members(pair.a, &name).await, [], "an election without candidates has no members");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected");
    let second = join(pair.b, &name).await;

    for sync in [pair.a, pair.b] {
        let listed = members(sync, &name).await;
        let expected = [(identity(pair.a), Role::Leader), (identity(pair.b), Role::Follower)];
        assert_eq!(roles(&listed), expected, "each candidate is listed once, with its role");
        for member in &listed {
            assert_eq!(member.election, name, "a member names its election");
            assert_eq!(Some(&member.namespace), pair.a.options().namespace.as_ref());
            // A backend may not know the token before the first renewal states it.
            let token = (member.role == Role::Leader).then(|| lead.token());
            assert!(
                member.token.is_none() || member.token == token,
                "a leader is listed with its token, and with no other: {member:?}"
            );
        }
    }
    must(second.resign().await, "a follower can resign");
    must(first.resign().await, "a leader can resign");
    assert_eq!(members(pair.b, &name).await, [], "a resigned candidate is not listed");
}

pub(super) async fn members_are_listed_by_election(pair: Pair<'_>) {
    let (one, two) = (unique("one"), unique("two"));
    let first = join(pair.a, &one).await;
    let second = join(pair.a, &two).await;
    must(first.elected().await, "the only candidate is elected").keep();
    must(second.elected().await, "one handle can lead two elections").keep();

    let listed = members(pair.b, &one).await;
    let all =
        must(pair.b.list_members(ListMembersOptions::default()).await, "members can be listed");

    assert!(
        listed.iter().all(|member| member.election == one),
        "only members of the requested election are listed: {listed:?}"
    );
    assert_eq!(listed.len(), 1);
    for name in [&one, &two] {
        let count = all.iter().filter(|member| member.election == *name).count();
        assert_eq!(count, 1, "a list of all elections contains every member of each election");
    }
    must(first.resign().await, "a leader can resign");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn members_are_listed_by_namespace(pair: Pair<'_>) {
    let Some(other) = pair.other else { return };
    let name = unique("namespaces");
    let options = LeaderOptions::default().namespace(other);
    if pair.session.is_some() {
        let refused = pair.a.leader(&name, options).await;
        assert!(
            matches!(refused, Err(Error::Invalid { .. })),
            "a session refuses an election in another namespace: {refused:?}"
        );
        return;
    }
    let there = must(
        pair.a.leader(&name, options).await,
        "a handle can become a candidate in another namespace",
    );
    let lead = must(there.elected().await, "the only candidate is elected");

    let here = join(pair.b, &name).await;
    must(here.elected().await, "elections in two namespaces are independent").keep();

    must(lead.check(), "elections in two namespaces are independent");
    let listed = members(pair.a, &name).await;
    assert_eq!(
        roles(&listed),
        [(identity(pair.b), Role::Leader)],
        "only members of the handle's namespace are listed"
    );
    let options = ListMembersOptions::default().namespace(other).election(&*name);
    let listed = must(pair.b.list_members(options).await, "members can be listed by namespace");
    assert_eq!(
        roles(&listed),
        [(identity(pair.a), Role::Leader)],
        "only members of the requested namespace are listed"
    );
    assert_eq!(listed[0].namespace, other, "a member names its namespace");
    must(here.resign().await, "a leader can resign");
    must(there.resign().await, "a leader can resign");
}

pub(super) async fn a_candidate_uses_its_chosen_id(pair: Pair<'_>) {
    let name = unique("id");
    let chosen = |id: &str| LeaderOptions::default().candidate_id(id);
    let first = must(pair.a.leader(&name, chosen("one")).await, "a handle can become a candidate");
    let lead = must(first.elected().await, "the only candidate is elected");
    let second = must(
        pair.a.leader(&name, chosen("two")).await,
        "one handle can be two candidates under two ids",
    );

    assert_eq!((first.candidate_id(), lead.holder(), second.candidate_id()), ("one", "one", "two"));
    let listed = members(pair.b, &name).await;
    assert_eq!(roles(&listed), [("one", Role::Leader), ("two", Role::Follower)]);
    assert_eq!(second.primary().map(|member| member.candidate_id).as_deref(), Some("one"));
    must(first.resign().await, "a leader can resign");
    assert_eq!(must(second.elected().await, "the next candidate is elected").holder(), "two");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn a_candidate_id_is_unique_in_an_election(pair: Pair<'_>) {
    let name = unique("once");
    let leader = join(pair.a, &name).await;
    let lead = must(leader.elected().await, "the only candidate is elected");

    match pair.a.leader(&name, LeaderOptions::default()).await {
        Err(Error::AlreadyCandidate { election, candidate_id: id }) => {
            assert_eq!(
                (&*election, &*id),
                (&*name, identity(pair.a)),
                "the error names the election and the candidate"
            );
        }
        other => panic!("a handle cannot be a candidate twice under one id: {other:?}"),
    }

    must(lead.check(), "a rejected second candidacy does not affect the first one");
    must(leader.resign().await, "a leader can resign");
    let again = join(pair.a, &name).await;
    must(again.elected().await, "a resigned candidate can become a candidate again").keep();
    must(again.resign().await, "a leader can resign");
}

pub(super) async fn a_resigned_candidate_is_not_listed(pair: Pair<'_>) {
    let name = unique("withdrawn");
    let first = join(pair.a, &name).await;
    must(first.elected().await, "the only candidate is elected").keep();
    let second = join(pair.b, &name).await;

    must(second.resign().await, "a follower can resign");

    let listed = members(pair.a, &name).await;
    assert_eq!(
        roles(&listed),
        [(identity(pair.a), Role::Leader)],
        "a resigned candidate is not listed"
    );
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn a_dropped_leader_future_leaves_no_candidate(pair: Pair<'_>) {
    let name = unique("dropped");
    let first = join(pair.a, &name).await;
    must(first.elected().await, "the only candidate is elected").keep();
    for pauses in 0..6 {
        let mut joining = pair.b.leader(&name, LeaderOptions::default());
        for _ in 0..pauses {
            if poll_immediate(&mut joining).await.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        drop(joining);
    }

    settle(pair.a, &name, &[(identity(pair.a), Role::Leader)]).await;

    must(first.resign().await, "a leader can resign");
    settle(pair.a, &name, &[]).await;
}

async fn watch(sync: &DynSync, election: &str) -> ElectWatcher {
    let options = WatchElectOptions::default().election(election);
    must(sync.watch_elect(options).await, "elections can be watched")
}

/// The next event: what happened, and the candidate's id.
async fn next(events: &mut ElectWatcher, election: &str) -> (&'static str, String) {
    let event = events.next().await.expect("a watch does not end by itself");
    let what = match &event {
        ElectEvent::Elected(_) => "elected",
        ElectEvent::Lost(_) => "lost",
        ElectEvent::Joined(_) => "joined",
        ElectEvent::Left(_) => "left",
    };
    assert_eq!(
        event.member().election,
        election,
        "a watch of one election reports no other election"
    );
    (what, event.member().candidate_id.clone())
}

pub(super) async fn a_watch_begins_with_the_current_state(pair: Pair<'_>) {
    let name = unique("present");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected");
    let second = join(pair.b, &name).await;

    let mut events = watch(pair.b, &name).await;

    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut events, &name).await);
    }
    seen.sort_unstable();
    let (a, b) = (identity(pair.a).to_owned(), identity(pair.b).to_owned());
    let mut expected = [("elected", a.clone()), ("joined", a), ("joined", b)];
    expected.sort_unstable();
    assert_eq!(seen, expected, "a watch begins with the current members and the current leader");
    must(lead.check(), "a watch does not affect a tenure");
    must(second.resign().await, "a follower can resign");
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn a_watch_reports_each_change_in_order(pair: Pair<'_>) {
    let name = unique("events");
    let (a, b) = (identity(pair.a).to_owned(), identity(pair.b).to_owned());
    let mut events = watch(pair.b, &name).await;

    let first = join(pair.a, &name).await;
    assert_eq!(next(&mut events, &name).await, ("joined", a.clone()));
    assert_eq!(next(&mut events, &name).await, ("elected", a.clone()));
    let second = join(pair.b, &name).await;
    assert_eq!(next(&mut events, &name).await, ("joined", b.clone()));

    must(first.resign().await, "a leader can resign");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut events, &name).await);
    }
    let at = |what, who: &str| seen.iter().position(|(w, id)| (*w, &**id) == (what, who));
    let (lost, left, elected) = (at("lost", &a), at("left", &a), at("elected", &b));
    assert!(
        lost.is_some() && left.is_some() && elected.is_some(),
        "every change is reported: {seen:?}"
    );
    assert!(
        lost < elected,
        "the loss of the first leader is reported before the election of the second: {seen:?}"
    );

    must(second.resign().await, "a leader can resign");
    assert_eq!(next(&mut events, &name).await, ("lost", b.clone()));
    assert_eq!(next(&mut events, &name).await, ("left", b));
}

pub(super) async fn a_watch_reports_only_its_election(pair: Pair<'_>) {
    let (own, other) = (unique("own"), unique("other"));
    let mut events = watch(pair.a, &own).await;
    let noise = join(pair.b, &other).await;
    must(noise.elected().await, "the only candidate is elected").keep();
    let leader = join(pair.a, &own).await;
    must(leader.elected().await, "the only candidate is elected").keep();

    let mut seen = vec![next(&mut events, &own).await.0, next(&mut events, &own).await.0];
    must(noise.resign().await, "a leader can resign");
    must(leader.resign().await, "a leader can resign");
    seen.extend([next(&mut events, &own).await.0, next(&mut events, &own).await.0]);

    assert_eq!(
        seen,
        ["joined", "elected", "lost", "left"],
        "only events of its own election are reported"
    );
}
