//! Checks of the payload of candidates, and of the order of succession in an election that is a queue.

use futures::StreamExt as _;

use super::{Pair, must, unique};
use crate::{
    DynSync, ElectEvent, Error, Leader, LeaderOptions, ListMembersOptions, Loss, Member,
    WatchElectOptions,
};

async fn join(sync: &DynSync, name: &str, id: &str) -> Leader {
    let options = LeaderOptions::default().candidate_id(id).payload(payload(id));
    must(sync.leader(name, options).await, "a handle can become a candidate with a payload")
}

fn payload(id: &str) -> String {
    format!("http://{id}:8080/ \"ready\"")
}

async fn members(sync: &DynSync, election: &str) -> Vec<Member> {
    let options = ListMembersOptions::default().election(election);
    must(sync.list_members(options).await, "members can be listed")
}

fn ids(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| &*member.candidate_id).collect()
}

async fn resign_all(leaders: impl IntoIterator<Item = Leader>) {
    for leader in leaders {
        must(leader.resign().await, "a candidate can resign");
    }
}

pub(super) async fn a_payload_is_seen_by_every_observer(pair: Pair<'_>) {
    let name = unique("payload");
    let options = WatchElectOptions::default().election(&*name);
    let mut events = must(pair.b.watch_elect(options).await, "elections can be watched");
    let first = join(pair.a, &name, "one").await;
    must(first.elected().await, "the only candidate is elected").keep();
    let second = join(pair.b, &name, "two").await;

    for sync in [pair.a, pair.b] {
        for member in members(sync, &name).await {
            let expected = Some(payload(&member.candidate_id));
            assert_eq!(member.payload, expected, "a member is listed with its payload");
        }
    }
    for leader in [&first, &second] {
        let primary = leader.primary().expect("a candidate knows the primary");
        assert_eq!(primary.payload, Some(payload("one")), "a primary has its payload");
    }
    for _ in 0..3 {
        let event = events.next().await.expect("a watch does not end by itself");
        let expected = Some(payload(&event.member().candidate_id));
        assert_eq!(event.member().payload, expected, "an event has the payload of its member");
    }
    resign_all([first, second]).await;
}

pub(super) async fn a_candidate_without_a_payload_has_none(pair: Pair<'_>) {
    let name = unique("no-payload");
    let first = join(pair.a, &name, "one").await;
    must(first.elected().await, "the only candidate is elected").keep();
    resign_all([first]).await;

    let options = LeaderOptions::default().candidate_id("one");
    let again = must(pair.a.leader(&name, options).await, "a candidate can come again");
    must(again.elected().await, "the only candidate is elected").keep();

    let listed = members(pair.b, &name).await;
    assert_eq!(listed[0].payload, None, "the payload of an earlier candidacy is not shown");
    resign_all([again]).await;
}

pub(super) async fn a_payload_that_cannot_be_stored_is_rejected(pair: Pair<'_>) {
    let longest = "x".repeat(1024);
    let options = |payload: &str| LeaderOptions::default().payload(payload);
    for payload in [&format!("{longest}x"), "two\nlines", &"\"".repeat(513)] {
        let refused = pair.a.leader(&unique("refused"), options(payload)).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    for payload in [&*longest, &"\"".repeat(512), ""] {
        let leader = pair.a.leader(&unique("longest"), options(payload)).await;
        resign_all([must(leader, "a payload of the maximum length is valid")]).await;
    }
}

pub(super) async fn candidates_succeed_in_the_order_in_which_they_came(pair: Pair<'_>) {
    if pair.session.is_none() {
        return;
    }
    let name = unique("order");
    let mut order = ["one", "two", "three", "four"];
    let mut leaders = Vec::new();
    for (index, id) in order.into_iter().enumerate() {
        let sync = if index % 2 == 0 { pair.a } else { pair.b };
        leaders.push(join(sync, &name, id).await);
    }

    let mut lead = must(leaders[0].elected().await, "the first candidate leads");
    for _ in 0..3 {
        let listed = members(pair.b, &name).await;
        assert_eq!(ids(&listed), order, "members are listed in the order of succession");
        let places: Vec<_> = listed.iter().map(|member| member.succession).collect();
        assert_eq!(places, [Some(0), Some(1), Some(2), Some(3)]);
        // Steps down, and is the last one from then on.
        drop(lead);
        lead = must(leaders[1].elected().await, "the next candidate is elected");
        leaders.rotate_left(1);
        order.rotate_left(1);
        while ids(&members(pair.b, &name).await).len() < order.len() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    assert_eq!(ids(&members(pair.a, &name).await), order);
    resign_all(leaders).await;
}

pub(super) async fn a_resigned_leader_that_comes_again_is_the_last(pair: Pair<'_>) {
    if pair.session.is_none() {
        return;
    }
    let name = unique("again");
    let first = join(pair.a, &name, "one").await;
    let (second, third) = (join(pair.b, &name, "two").await, join(pair.a, &name, "three").await);

    resign_all([first]).await;
    must(second.elected().await, "the next candidate is elected").keep();
    let again = join(pair.a, &name, "one").await;

    assert_eq!(ids(&members(pair.b, &name).await), ["two", "three", "one"]);
    resign_all([second]).await;
    must(third.elected().await, "the next candidate is elected").keep();
    assert_eq!(ids(&members(pair.b, &name).await), ["three", "one"]);
    resign_all([third, again]).await;
}

pub(super) async fn a_lost_leader_is_followed_by_the_next_in_order(pair: Pair<'_>) {
    let (Some(cut), true) = (pair.cut, pair.session.is_some()) else { return };
    let name = unique("crash");
    let first = join(pair.a, &name, "one").await;
    let lead = must(first.elected().await, "the only candidate is elected").keep();
    let (second, third) = (join(pair.b, &name, "two").await, join(pair.b, &name, "three").await);

    cut(true);
    let next = must(second.elected().await, "the next candidate is elected after a crash");

    assert!(!lead.is_held(), "the tenure of a lost leader ends before the next one begins");
    assert!(matches!(lead.check(), Err(Error::Lost { why: Loss::Expired, .. })));
    assert_eq!(ids(&members(pair.b, &name).await), ["two", "three"]);
    cut(false);
    drop(next);
    must(third.elected().await, "the order stays after a crash").keep();
    // The lost candidate competes again, behind the others.
    while ids(&members(pair.b, &name).await).len() < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(ids(&members(pair.b, &name).await)[0], "three");
    resign_all([first, second, third]).await;
}

pub(super) async fn an_event_of_a_queue_names_the_place(pair: Pair<'_>) {
    if pair.session.is_none() {
        return;
    }
    let name = unique("places");
    let (first, second) = (join(pair.a, &name, "one").await, join(pair.b, &name, "two").await);
    must(first.elected().await, "the first candidate leads").keep();
    let options = WatchElectOptions::default().election(&*name);
    let mut events = must(pair.b.watch_elect(options).await, "elections can be watched");

    for _ in 0..3 {
        let event = events.next().await.expect("a watch does not end by itself");
        let place = u32::from(event.member().candidate_id != "one");
        assert_eq!(event.member().succession, Some(place));
        assert!(!matches!(event, ElectEvent::Left(_) | ElectEvent::Lost(_)), "{event:?}");
    }
    resign_all([first, second]).await;
}
