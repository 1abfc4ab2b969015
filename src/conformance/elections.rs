//! Who leads, and how a lead ends.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt as _;

use super::{Pair, held_by, identity, must, once, patient, secs, unique};
use crate::{DynSync, Error, Leader, LeaderOptions, Loss, Member, Role, Status, Token};

/// A candidate of `sync` in the election `name`.
pub(super) async fn stand(sync: &DynSync, name: &str) -> Leader {
    must(sync.leader(name, LeaderOptions::default()).await, "anybody can stand")
}

pub(super) async fn the_first_candidate_leads(pair: Pair<'_>) {
    let name = unique("first");
    let leader = stand(pair.a, &name).await;

    let guard = must(leader.elected().await, "who stands alone leads");

    let token = must(guard.check(), "who was elected holds the lead");
    assert_eq!((guard.name(), guard.holder()), (&*name, identity(pair.a)));
    assert_eq!((leader.election(), leader.candidate_id()), (&*name, identity(pair.a)));
    let primary = leader.primary().expect("a leader knows who leads");
    assert_eq!((&*primary.candidate_id, primary.role), (identity(pair.a), Role::Leader));
    assert_eq!(primary.token, Some(token), "the primary has the token of its tenure");
    must(leader.resign().await, "a leader can resign");
}

pub(super) async fn a_second_candidate_follows(pair: Pair<'_>) {
    let name = unique("second");
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads");

    let second = stand(pair.b, &name).await;

    let primary = second.primary().expect("a follower that stands knows who leads");
    assert_eq!(primary.candidate_id, identity(pair.a), "a follower knows who leads");
    assert_eq!(second.status(), Status::Follower);
    assert!(lead.is_held(), "a second candidate does not end the first one's lead");
    must(second.resign().await, "a follower can resign");
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn resigning_frees_the_lead(pair: Pair<'_>) {
    let name = unique("resign");
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads");
    let second = stand(pair.b, &name).await;

    must(first.resign().await, "a leader can resign");

    assert!(
        matches!(lead.check(), Err(Error::Lost { why: Loss::Released, .. })),
        "resigning ends the tenure"
    );
    let next = must(second.elected().await, "the next candidate leads when the first resigns");
    assert!(next.token() > lead.token(), "tokens grow from leader to leader");
    assert!(
        matches!(first.elected().await, Err(Error::Closed { .. })),
        "who resigned is not elected"
    );
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn resigning_twice_is_no_error(pair: Pair<'_>) {
    let leader = stand(pair.a, &unique("twice")).await;

    let (one, two) = tokio::join!(leader.resign(), leader.resign());

    for resigned in [one, two, leader.resign().await] {
        must(resigned, "resigning twice is no error");
    }
}

pub(super) async fn dropping_a_leader_frees_the_lead(pair: Pair<'_>) {
    let name = unique("dropped");
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads");
    let second = stand(pair.b, &name).await;

    drop(first);

    let next = must(second.elected().await, "the next candidate leads when the first is dropped");
    assert!(!lead.is_held() && next.is_held(), "an election has one leader");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn who_shares_a_tenure_shares_its_guard(pair: Pair<'_>) {
    let leader = stand(pair.a, &unique("shared")).await;
    let first = must(leader.elected().await, "who stands alone leads");

    let second = must(leader.elected().await, "one tenure can be asked for twice");

    assert_eq!(first.token(), second.token(), "one tenure has one token");
    drop(first);
    must(second.check(), "a tenure goes on until its last guard is dropped");
    must(leader.resign().await, "a leader can resign");
    assert!(!second.is_held(), "resigning ends the tenure of every guard");
}

pub(super) async fn dropping_the_guard_steps_down_and_stands_on(pair: Pair<'_>) {
    let name = unique("step-down");
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads");
    let second = stand(pair.b, &name).await;

    drop(lead);

    let next = must(second.elected().await, "who steps down leaves the lead to others");
    must(second.resign().await, "a leader can resign");
    let again = must(first.elected().await, "who stepped down is a candidate still");
    assert!(again.token() > next.token(), "tokens grow");
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn work_is_run_while_leading_and_its_end_resigns(pair: Pair<'_>) {
    let name = unique("work");
    let first = stand(pair.a, &name).await;
    let second = stand(pair.b, &name).await;

    let led = first.run(|tenure| async move { tenure.check().map(Token::get) }).await;

    let token = must(must(led, "work is run to its end"), "work is run while leading");
    assert_eq!(first.status(), Status::Resigned, "the end of the work resigns");
    let next = must(second.elected().await, "the end of the work frees the lead");
    assert!(next.token().get() > token, "tokens grow");
    must(second.resign().await, "a leader can resign");
}

/// Counts its end.
struct Dropped<'a>(&'a AtomicU32);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) async fn work_is_dropped_when_the_lead_ends(pair: Pair<'_>) {
    let leader = stand(pair.a, &unique("end")).await;
    let (started, dropped) = (tokio::sync::Notify::new(), AtomicU32::new(0));
    let work = leader.run(|_| async {
        let _end = Dropped(&dropped);
        started.notify_one();
        std::future::pending::<()>().await;
    });
    let resign = async {
        started.notified().await;
        leader.resign().await
    };

    let (led, resigned) = tokio::join!(work, resign);

    must(resigned, "a leader can resign");
    assert!(matches!(led, Err(Error::Closed { .. })), "resigning ends a run: {led:?}");
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "work is dropped when the lead ends");
}

pub(super) async fn work_is_dropped_on_loss_and_run_again(pair: Pair<'_>) {
    let Some(cut) = pair.cut else { return };
    let options = LeaderOptions::default().ttl(secs(3));
    let leader = must(pair.a.leader(&unique("again"), options).await, "anybody can stand");
    let (runs, dropped) = (AtomicU32::new(0), AtomicU32::new(0));

    let done = leader
        .run(|tenure| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            let end = Dropped(&dropped);
            async move {
                let _end = end;
                if run == 0 {
                    cut(true);
                    let _rejoined = Rejoined(cut);
                    std::future::pending::<()>().await;
                }
                tenure.token()
            }
        })
        .await;

    must(done, "work is run again with the next tenure");
    assert_eq!(runs.load(Ordering::SeqCst), 2, "once with each tenure");
    assert_eq!(dropped.load(Ordering::SeqCst), 2, "the first was dropped on loss");
}

/// Joins the handle to its backend again when the work is dropped.
struct Rejoined<'a>(&'a (dyn Fn(bool) + Send + std::marker::Sync));

impl Drop for Rejoined<'_> {
    fn drop(&mut self) {
        (self.0)(false);
    }
}

pub(super) async fn the_time_to_live_of_a_lead_is_heeded(pair: Pair<'_>) {
    let name = unique("ttl");
    let options = LeaderOptions::default().ttl(secs(3000));
    let leader = must(pair.a.leader(&name, options).await, "anybody can stand");

    let guard = must(leader.elected().await, "who stands alone leads");

    let left = guard.remaining();
    assert!(left > secs(2000) && left < secs(3000), "the chosen time to live is used: {left:?}");
    must(leader.resign().await, "a leader can resign");
}

pub(super) async fn elections_are_independent(pair: Pair<'_>) {
    let first = stand(pair.a, &unique("one")).await;
    let lead = must(first.elected().await, "who stands alone leads");

    let second = stand(pair.b, &unique("two")).await;
    let other = must(second.elected().await, "another election has another leader");

    must(first.resign().await, "a leader can resign");
    assert!(!lead.is_held());
    must(other.check(), "the end of one lead does not touch another election");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn locks_and_elections_share_their_names(pair: Pair<'_>) {
    let name = unique("both");
    let leader = stand(pair.a, &name).await;
    let lead = must(leader.elected().await, "who stands alone leads");

    let lock = pair.b.lock(&name, once()).await;

    held_by(identity(pair.a), lock, "a lock and an election of one name exclude each other");
    assert!(
        matches!(pair.a.unlock(&name).await, Err(Error::NotHeld { .. })),
        "a lead is not unlocked"
    );
    must(lead.check(), "and goes on");
    must(leader.resign().await, "a leader can resign");
    let lock = must(pair.b.lock(&name, patient()).await, "after that it is free");
    must(lock.release().await, "a held lock can be released");
}

pub(super) async fn the_primary_can_be_observed(pair: Pair<'_>) {
    let name = unique("observe");
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads").keep();
    let second = stand(pair.b, &name).await;
    let shown = |member: Member| (member.candidate_id, member.token);
    let mut seen = second.watch().filter_map(async |seen| seen.primary.map(shown)).boxed();
    assert_eq!(
        seen.next().await,
        Some((identity(pair.a).into(), Some(lead.token()))),
        "it begins with who leads now, and its token"
    );

    must(first.resign().await, "a leader can resign");

    let next = must(second.elected().await, "the other leads then").keep();
    assert_eq!(
        seen.next().await,
        Some((identity(pair.b).into(), Some(next.token()))),
        "and goes on with who is next"
    );
    must(second.resign().await, "a leader can resign");
    assert_eq!(seen.next().await, None, "and ends with the candidacy");
    assert_eq!(second.primary(), None, "who resigned does not lead");
}

pub(super) async fn the_status_can_be_followed_to_its_end(pair: Pair<'_>) {
    let name = unique("status");
    let first = stand(pair.a, &name).await;
    let lead = must(first.elected().await, "who stands alone leads");
    let second = stand(pair.b, &name).await;
    let mut status = second.watch().map(|seen| seen.status);
    assert_eq!(status.next().await, Some(Status::Follower), "it begins with the present");

    drop(first);

    let mut seen = Vec::new();
    while seen.last() != Some(&Status::Leading) {
        seen.push(status.next().await.expect("it goes on until resigned"));
    }
    must(second.resign().await, "a leader can resign");
    let rest: Vec<_> = status.collect().await;
    assert_eq!(rest.last(), Some(&Status::Resigned), "it ends when resigned");
    assert!(!lead.is_held());
}
