//! Checks of elections: who leads, and how a tenure ends.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt as _;

use super::{Pair, held_by, identity, must, once, patient, secs, unique};
use crate::{DynSync, Error, Leader, LeaderOptions, Loss, Member, Role, Status, Token};

/// Makes `sync` a candidate in the election `name`.
pub(super) async fn join(sync: &DynSync, name: &str) -> Leader {
    must(sync.leader(name, LeaderOptions::default()).await, "a handle can become a candidate")
}

pub(super) async fn the_first_candidate_leads(pair: Pair<'_>) {
    let name = unique("first");
    let leader = join(pair.a, &name).await;

    let guard = must(leader.elected().await, "the only candidate is elected");

    let token = must(guard.check(), "an elected leader holds the election");
    assert_eq!((guard.name(), guard.holder()), (&*name, identity(pair.a)));
    assert_eq!((leader.election(), leader.candidate_id()), (&*name, identity(pair.a)));
    let primary = leader.primary().expect("a leader knows the primary");
    assert_eq!((&*primary.candidate_id, primary.role), (identity(pair.a), Role::Leader));
    assert_eq!(primary.token, Some(token), "the primary has the token of its tenure");
    must(leader.resign().await, "a leader can resign");
}

pub(super) async fn a_second_candidate_follows(pair: Pair<'_>) {
    let name = unique("second");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected");

    let second = join(pair.b, &name).await;

    let primary =
        second.primary().expect("a follower knows the primary as soon as it is a candidate");
    assert_eq!(primary.candidate_id, identity(pair.a), "a follower knows the primary");
    assert_eq!(second.status(), Status::Follower);
    assert!(lead.is_held(), "a second candidate does not end the tenure of the first one");
    must(second.resign().await, "a follower can resign");
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn resigning_releases_the_election(pair: Pair<'_>) {
    let name = unique("resign");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected");
    let second = join(pair.b, &name).await;

    must(first.resign().await, "a leader can resign");

    assert!(
        matches!(lead.check(), Err(Error::Lost { why: Loss::Released, .. })),
        "resigning ends the tenure"
    );
    let next =
        must(second.elected().await, "the next candidate is elected when the first one resigns");
    assert!(next.token() > lead.token(), "the token of the next leader is greater");
    assert!(
        matches!(first.elected().await, Err(Error::Closed { .. })),
        "a resigned candidate is never elected"
    );
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn resigning_twice_succeeds(pair: Pair<'_>) {
    let leader = join(pair.a, &unique("twice")).await;

    let (one, two) = tokio::join!(leader.resign(), leader.resign());

    for resigned in [one, two, leader.resign().await] {
        must(resigned, "resigning twice succeeds");
    }
}

pub(super) async fn dropping_a_leader_releases_the_election(pair: Pair<'_>) {
    let name = unique("dropped");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected");
    let second = join(pair.b, &name).await;

    drop(first);

    let next =
        must(second.elected().await, "the next candidate is elected when the first one is dropped");
    assert!(!lead.is_held() && next.is_held(), "an election has at most one leader");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn guards_of_one_leader_share_its_tenure(pair: Pair<'_>) {
    let leader = join(pair.a, &unique("shared")).await;
    let first = must(leader.elected().await, "the only candidate is elected");

    let second = must(leader.elected().await, "elected can be called twice in one tenure");

    assert_eq!(first.token(), second.token(), "one tenure has one token");
    drop(first);
    must(second.check(), "a tenure goes on until its last guard is dropped");
    must(leader.resign().await, "a leader can resign");
    assert!(!second.is_held(), "resigning ends the tenure of every guard");
}

pub(super) async fn a_dropped_guard_steps_down_and_stays_a_candidate(pair: Pair<'_>) {
    let name = unique("step-down");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected");
    let second = join(pair.b, &name).await;

    drop(lead);

    let next =
        must(second.elected().await, "another candidate is elected when the leader steps down");
    must(second.resign().await, "a leader can resign");
    let again = must(first.elected().await, "a leader that stepped down is still a candidate");
    assert!(again.token() > next.token(), "each token is greater than the one before");
    must(first.resign().await, "a leader can resign");
}

pub(super) async fn run_resigns_after_the_work_has_ended(pair: Pair<'_>) {
    let name = unique("work");
    let first = join(pair.a, &name).await;
    let second = join(pair.b, &name).await;

    let led = first.run(|tenure| async move { tenure.check().map(Token::get) }).await;

    let token =
        must(must(led, "the work runs to its end"), "the work runs while the candidate leads");
    assert_eq!(first.status(), Status::Resigned, "the candidate resigns at the end of the work");
    let next = must(second.elected().await, "the end of the work releases the election");
    assert!(next.token().get() > token, "each token is greater than the one before");
    must(second.resign().await, "a leader can resign");
}

/// Counts how often a value of this type is dropped.
struct Dropped<'a>(&'a AtomicU32);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) async fn run_drops_the_work_after_resigning(pair: Pair<'_>) {
    let leader = join(pair.a, &unique("end")).await;
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
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "the work is dropped when the tenure ends");
}

pub(super) async fn run_drops_the_work_on_loss_and_runs_it_again(pair: Pair<'_>) {
    let Some(cut) = pair.cut else { return };
    let options = LeaderOptions::default().ttl(pair.ttl(secs(3)));
    let leader =
        must(pair.a.leader(&unique("again"), options).await, "a handle can become a candidate");
    let (runs, dropped) = (AtomicU32::new(0), AtomicU32::new(0));

    let done = leader
        .run(|tenure| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            let end = Dropped(&dropped);
            async move {
                let _end = end;
                if run == 0 {
                    cut(true);
                    let _reconnect = Reconnect(cut);
                    std::future::pending::<()>().await;
                }
                tenure.token()
            }
        })
        .await;

    must(done, "the work runs again with the next tenure");
    assert_eq!(runs.load(Ordering::SeqCst), 2, "the work runs once in each tenure");
    assert_eq!(
        dropped.load(Ordering::SeqCst),
        2,
        "the first run is dropped on loss, the second at its end"
    );
}

/// Connects the handle to its backend again when the work is dropped.
struct Reconnect<'a>(&'a (dyn Fn(bool) + Send + std::marker::Sync));

impl Drop for Reconnect<'_> {
    fn drop(&mut self) {
        (self.0)(false);
    }
}

pub(super) async fn an_election_uses_its_time_to_live(pair: Pair<'_>) {
    let name = unique("ttl");
    let options = LeaderOptions::default().ttl(secs(3000));
    let leader = must(pair.a.leader(&name, options).await, "a handle can become a candidate");

    let guard = must(leader.elected().await, "the only candidate is elected");

    let (left, ttl) = (guard.remaining(), pair.ttl(secs(3000)));
    // The tenure of a session ends with the session, whose next heartbeat may be due just now.
    let least = if pair.session.is_some() { Duration::ZERO } else { ttl / 2 };
    assert!(least <= left && left < ttl, "the chosen time to live is used: {left:?}");
    must(leader.resign().await, "a leader can resign");
}

pub(super) async fn elections_are_independent(pair: Pair<'_>) {
    let first = join(pair.a, &unique("one")).await;
    let lead = must(first.elected().await, "the only candidate is elected");

    let second = join(pair.b, &unique("two")).await;
    let other = must(second.elected().await, "another election has another leader");

    must(first.resign().await, "a leader can resign");
    assert!(!lead.is_held());
    must(other.check(), "the end of one tenure does not affect another election");
    must(second.resign().await, "a leader can resign");
}

pub(super) async fn locks_and_elections_share_names(pair: Pair<'_>) {
    let name = unique("both");
    let leader = join(pair.a, &name).await;
    let lead = must(leader.elected().await, "the only candidate is elected");

    let lock = pair.b.lock(&name, once()).await;

    held_by(identity(pair.a), lock, "a lock and an election of one name exclude each other");
    assert!(
        matches!(pair.a.unlock(&name).await, Err(Error::NotHeld { .. })),
        "unlock does not release an election"
    );
    must(lead.check(), "a lock request does not end the tenure of a leader");
    must(leader.resign().await, "a leader can resign");
    let lock =
        must(pair.b.lock(&name, patient()).await, "the name is free after the leader has resigned");
    must(lock.release().await, "a held lock can be released");
}

pub(super) async fn the_primary_can_be_watched(pair: Pair<'_>) {
    let name = unique("observe");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected").keep();
    let second = join(pair.b, &name).await;
    let shown = |member: Member| (member.candidate_id, member.token);
    let mut seen = second.watch().filter_map(async |seen| seen.primary.map(shown)).boxed();
    // A backend may not know the token before the first renewal states it.
    let mut primary = seen.next().await;
    while primary == Some((identity(pair.a).into(), None)) {
        primary = seen.next().await;
    }
    assert_eq!(
        primary,
        Some((identity(pair.a).into(), Some(lead.token()))),
        "the stream begins with the current primary, and shows its token and no other"
    );

    must(first.resign().await, "a leader can resign");

    let next = must(second.elected().await, "the other candidate is elected").keep();
    assert_eq!(
        seen.next().await,
        Some((identity(pair.b).into(), Some(next.token()))),
        "the stream continues with the next primary"
    );
    must(second.resign().await, "a leader can resign");
    assert_eq!(seen.next().await, None, "the stream ends when the candidate has resigned");
    assert_eq!(second.primary(), None, "a resigned candidate sees no primary");
}

pub(super) async fn the_status_can_be_watched_until_resigned(pair: Pair<'_>) {
    let name = unique("status");
    let first = join(pair.a, &name).await;
    let lead = must(first.elected().await, "the only candidate is elected");
    let second = join(pair.b, &name).await;
    let mut status = second.watch().map(|seen| seen.status);
    assert_eq!(
        status.next().await,
        Some(Status::Follower),
        "the stream begins with the current status"
    );

    drop(first);

    let mut seen = Vec::new();
    while seen.last() != Some(&Status::Leading) {
        seen.push(status.next().await.expect("the stream goes on until the candidate resigns"));
    }
    must(second.resign().await, "a leader can resign");
    let rest: Vec<_> = status.collect().await;
    assert_eq!(
        rest.last(),
        Some(&Status::Resigned),
        "the stream ends when the candidate has resigned"
    );
    assert!(!lead.is_held());
}
