//! Who is listed, and what watches tell.

use futures::{StreamExt as _, future::poll_immediate};

use super::{Pair, elections::stand, identity, must, unique};
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

/// Waits until the members of `election` are these: what is dropped is withdrawn in the background.
async fn settle(sync: &DynSync, election: &str, expected: &[(&str, Role)]) {
    while roles(&members(sync, election).await) != expected {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

pub(super) async fn members_are_listed_with_their_roles(pair: Pair<'_>) {
    let name = unique("members");
    assert_eq!(
        members(pair.a, &name).await,
        [],
        "an election that nobody stands in has no members"
    );
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads");
    let second = stand(pair.b, &name).await;

    for sync in [pair.a, pair.b] {
        let listed = members(sync, &name).await;
        let expected = [(identity(pair.a), Role::Leader), (identity(pair.b), Role::Follower)];
        assert_eq!(roles(&listed), expected, "each candidate is listed once, with its role");
        for member in &listed {
            assert_eq!(member.election, name, "a member names its election");
            assert_eq!(Some(&member.namespace), pair.a.options().namespace.as_ref());
            let token = (member.role == Role::Leader).then(|| lead.token());
            assert_eq!(member.token, token, "a leader is listed with its token");
        }
    }
    must(second.resign().await, "a follower can resign");
    must(first.resign().await, "a leader can resign");
    assert_eq!(members(pair.b, &name).await, [], "who resigned is not listed");
}

pub(super) async fn members_are_listed_by_election(pair: Pair<'_>) {
    let (one, two) = (unique("one"), unique("two"));
    let first = stand(pair.a, &one).await;
    let second = stand(pair.a, &two).await;
    must(first.elected().await, "who stands alone leads").keep();
    must(second.elected().await, "one handle can lead two elections").keep();

    let listed = members(pair.b, &one).await;
    let all =
        must(pair.b.list_members(ListMembersOptions::default()).await, "members can be listed");

    assert!(listed.iter().all(|member| member.election == one), "of one election only: {listed:?}");
    assert_eq!(listed.len(), 1);
    for name in [&one, &two] {
        let count = all.iter().filter(|member| member.election == *name).count();
        assert_eq!(count, 1, "a list of all elections has each member of each");
    }
    must(first.resign().await, "a leader can resign");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn members_are_listed_by_namespace(pair: Pair<'_>) {
    let Some(other) = pair.other else { return };
    let name = unique("namespaces");
    let options = LeaderOptions::default().namespace(other);
    let there = must(pair.a.leader(&name, options).await, "one can stand in another namespace");
    let lead = must(there.elected().await, "who stands alone leads");

    let here = stand(pair.b, &name).await;
    must(here.elected().await, "elections of two namespaces are two").keep();

    must(lead.check(), "elections of two namespaces are two");
    let listed = members(pair.a, &name).await;
    assert_eq!(
        roles(&listed),
        [(identity(pair.b), Role::Leader)],
        "only those of the handle's own"
    );
    let options = ListMembersOptions::default().namespace(other).election(&*name);
    let listed = must(pair.b.list_members(options).await, "members can be listed by namespace");
    assert_eq!(
        roles(&listed),
        [(identity(pair.a), Role::Leader)],
        "only those of the one asked for"
    );
    assert_eq!(listed[0].namespace, other, "a member names its namespace");
    must(here.resign().await, "a leader can resign");
    must(there.resign().await, "a leader can resign");
}

pub(super) async fn a_candidate_has_the_id_it_chose(pair: Pair<'_>) {
    let name = unique("id");
    let chosen = |id: &str| LeaderOptions::default().candidate_id(id);
    let first = must(pair.a.leader(&name, chosen("one")).await, "anybody can stand");
    let lead = must(first.elected().await, "who stands alone leads");
    let second =
        must(pair.a.leader(&name, chosen("two")).await, "one handle can stand under two ids");

    assert_eq!((first.candidate_id(), lead.holder(), second.candidate_id()), ("one", "one", "two"));
    let listed = members(pair.b, &name).await;
    assert_eq!(roles(&listed), [("one", Role::Leader), ("two", Role::Follower)]);
    assert_eq!(second.primary().map(|member| member.candidate_id).as_deref(), Some("one"));
    must(first.resign().await, "a leader can resign");
    assert_eq!(must(second.elected().await, "the next one leads").holder(), "two");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn a_candidate_stands_once(pair: Pair<'_>) {
    let name = unique("once");
    let leader = stand(pair.a, &name).await;
    let lead = must(leader.elected().await, "who stands alone leads");

    match pair.a.leader(&name, LeaderOptions::default()).await {
        Err(Error::AlreadyCandidate { election, candidate_id: id }) => {
            assert_eq!((&*election, &*id), (&*name, identity(pair.a)), "it says who stands where");
        }
        other => panic!("a candidate does not stand twice through one handle: {other:?}"),
    }

    must(lead.check(), "a second candidacy that is refused does not touch the first");
    must(leader.resign().await, "a leader can resign");
    let again = stand(pair.a, &name).await;
    must(again.elected().await, "who resigned may stand again").keep();
    must(again.resign().await, "a leader can resign");
}

pub(super) async fn a_candidate_that_resigned_is_not_listed(pair: Pair<'_>) {
    let name = unique("withdrawn");
    let first = stand(pair.a, &name).await;
    must(first.elected().await, "who stands alone leads").keep();
    let second = stand(pair.b, &name).await;

    must(second.resign().await, "a follower can resign");

    let listed = members(pair.a, &name).await;
    assert_eq!(roles(&listed), [(identity(pair.a), Role::Leader)], "who resigned is not listed");
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn a_candidacy_dropped_before_it_stands_leaves_nobody(pair: Pair<'_>) {
    let name = unique("dropped");
    let first = stand(pair.a, &name).await;
    must(first.elected().await, "who stands alone leads").keep();
    for pauses in 0..6 {
        let mut standing = pair.b.leader(&name, LeaderOptions::default());
        for _ in 0..pauses {
            if poll_immediate(&mut standing).await.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        drop(standing);
    }

    settle(pair.a, &name, &[(identity(pair.a), Role::Leader)]).await;

    must(first.resign().await, "a leader can resign");
    settle(pair.a, &name, &[]).await;
}

async fn watch(sync: &DynSync, election: &str) -> ElectWatcher {
    let options = WatchElectOptions::default().election(election);
    must(sync.watch_elect(options).await, "elections can be watched")
}

/// The next event, as what happened and to whom.
async fn next(events: &mut ElectWatcher, election: &str) -> (&'static str, String) {
    let event = events.next().await.expect("a watch does not end by itself");
    let what = match &event {
        ElectEvent::Elected(_) => "elected",
        ElectEvent::Lost(_) => "lost",
        ElectEvent::Joined(_) => "joined",
        ElectEvent::Left(_) => "left",
    };
    assert_eq!(event.member().election, election, "a watch of one election heeds no other");
    (what, event.member().candidate_id.clone())
}

pub(super) async fn a_watch_begins_with_the_present_state(pair: Pair<'_>) {
    let name = unique("present");
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads");
    let second = stand(pair.b, &name).await;

    let mut events = watch(pair.b, &name).await;

    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut events, &name).await);
    }
    seen.sort_unstable();
    let (a, b) = (identity(pair.a).to_owned(), identity(pair.b).to_owned());
    let mut expected = [("elected", a.clone()), ("joined", a), ("joined", b)];
    expected.sort_unstable();
    assert_eq!(seen, expected, "a watch begins with who is there and who leads");
    must(lead.check(), "watching changes nothing");
    must(second.resign().await, "a follower can resign");
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn a_watch_tells_who_comes_leads_and_goes(pair: Pair<'_>) {
    let name = unique("events");
    let (a, b) = (identity(pair.a).to_owned(), identity(pair.b).to_owned());
    let mut events = watch(pair.b, &name).await;

    let first = stand(pair.a, &name).await;
    assert_eq!(next(&mut events, &name).await, ("joined", a.clone()));
    assert_eq!(next(&mut events, &name).await, ("elected", a.clone()));
    let second = stand(pair.b, &name).await;
    assert_eq!(next(&mut events, &name).await, ("joined", b.clone()));

    must(first.resign().await, "a leader can resign");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut events, &name).await);
    }
    let at = |what, who: &str| seen.iter().position(|(w, id)| (*w, &**id) == (what, who));
    let (lost, left, elected) = (at("lost", &a), at("left", &a), at("elected", &b));
    assert!(lost.is_some() && left.is_some() && elected.is_some(), "each is told: {seen:?}");
    assert!(lost < elected, "who led is told to have lost before the next is elected: {seen:?}");

    must(second.resign().await, "a leader can resign");
    assert_eq!(next(&mut events, &name).await, ("lost", b.clone()));
    assert_eq!(next(&mut events, &name).await, ("left", b));
}

pub(super) async fn a_watch_of_one_election_heeds_no_other(pair: Pair<'_>) {
    let (own, other) = (unique("own"), unique("other"));
    let mut events = watch(pair.a, &own).await;
    let noise = stand(pair.b, &other).await;
    must(noise.elected().await, "who stands alone leads").keep();
    let leader = stand(pair.a, &own).await;
    must(leader.elected().await, "who stands alone leads").keep();

    let mut seen = vec![next(&mut events, &own).await.0, next(&mut events, &own).await.0];
    must(noise.resign().await, "a leader can resign");
    must(leader.resign().await, "a leader can resign");
    seen.extend([next(&mut events, &own).await.0, next(&mut events, &own).await.0]);

    assert_eq!(seen, ["joined", "elected", "lost", "left"], "only its own election is told");
}
