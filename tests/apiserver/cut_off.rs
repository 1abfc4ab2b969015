//! A holder that loses its connection, in the ways in which other leader electors get two leaders.
//!
//! Thirty trials of each way run in parallel, each with its own lock and proxy. When the second guard is granted,
//! the first one must not be held. One look is enough, because a lost guard is never held again.

use std::{future::Future, time::Duration};

use futures::future::join_all;
use kube::api::DeleteParams;
use leasehold::{Guard, Kubernetes, LockOptions, Sync as _};
use leasehold_test_support::{Link, Proxy};

use super::{Place, brief};

const TRIALS: usize = 30;

/// A holder behind a proxy, and a successor with a direct connection.
struct Trial {
    name: String,
    proxy: Proxy,
    holder: Kubernetes,
    successor: Kubernetes,
}

impl Trial {
    async fn new(place: &Place, number: usize) -> Self {
        let (proxy, config) = place.behind_proxy().await;
        let holder = Kubernetes::from_config(config, place.options()).unwrap();
        Self { name: format!("lock-{number}"), proxy, holder, successor: place.handle() }
    }

    /// The successor's guard, and whether the first one was held at that moment.
    async fn succeed(&self, first: &Guard) -> (Guard, bool) {
        let second = self.successor.lock(&self.name, brief()).await.unwrap();
        let both = first.is_held();
        (second, both)
    }
}

/// Runs all trials of one kind. None may end with two guards held.
async fn trials<F: Future<Output = bool>>(run: impl Fn(Trial) -> F) {
    let place = Place::new().await;
    let started = join_all((0..TRIALS).map(|number| Trial::new(&place, number))).await;
    let doubles =
        join_all(started.into_iter().map(run)).await.into_iter().filter(|&both| both).count();
    assert_eq!(doubles, 0, "trials of {TRIALS} with two guards held");
}

#[tokio::test]
async fn a_cut_connection_never_leads_to_two_holders() {
    trials(|trial| async move {
        let first = trial.holder.lock(&trial.name, brief()).await.unwrap();
        trial.proxy.set(Link::BLACK_HOLE);
        trial.succeed(&first).await.1
    })
    .await;
}

#[tokio::test]
async fn delayed_replies_never_lead_to_two_holders() {
    trials(|trial| async move {
        let first = trial.holder.lock(&trial.name, brief()).await.unwrap();
        trial.proxy.set(Link::NO_REPLIES);
        let lost = first.lost();
        let (second, both) = trial.succeed(&first).await;
        lost.await;
        both || !second.is_held() && second.remaining() > Duration::ZERO
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_returns_at_the_expiry_never_leads_to_two_holders() {
    trials(|trial| async move {
        let first = trial.holder.lock(&trial.name, brief()).await.unwrap();
        trial.proxy.set(Link::BLACK_HOLE);
        // Renewals that were held back arrive when the record is about to expire.
        let healing = async {
            first.lost().await;
            trial.proxy.set(Link::default());
        };
        let ((second, both), ()) = tokio::join!(trial.succeed(&first), healing);
        second.check().unwrap();
        both || first.is_held()
    })
    .await;
}

#[tokio::test]
async fn a_lease_deleted_while_its_holder_is_disconnected_never_leads_to_two_holders() {
    let place = Place::new().await;
    let leases = &place.leases();
    let started = join_all((0..TRIALS).map(|number| Trial::new(&place, number))).await;
    let doubles = join_all(started.into_iter().map(|trial| async move {
        let first = trial.holder.lock(&trial.name, brief()).await.unwrap();
        // The successor sees the record, with another holder, before it is deleted.
        let busy = trial.successor.lock(&trial.name, LockOptions::default().try_once()).await;
        assert!(busy.is_err());
        trial.proxy.set(Link::BLACK_HOLE);
        let waiting = trial.succeed(&first);
        let at_once = DeleteParams::default();
        let ((_second, both), deleted) =
            tokio::join!(waiting, leases.delete(&trial.name, &at_once));
        deleted.unwrap();
        both
    }))
    .await;
    assert_eq!(
        doubles.into_iter().filter(|&both| both).count(),
        0,
        "trials of {TRIALS} with two guards held"
    );
}

#[tokio::test]
async fn of_contenders_at_the_same_instant_at_most_one_holds() {
    let place = Place::new().await;
    let handles: Vec<_> = (0..5).map(|_| place.handle()).collect();
    for round in 0..TRIALS {
        // In the first round of each name there is no Lease, in the second a released one.
        let name = format!("rush-{}", round / 2);
        let rush = join_all(
            handles.iter().map(|handle| handle.lock(&name, LockOptions::default().try_once())),
        )
        .await;
        let guards: Vec<_> = rush.into_iter().flatten().collect();
        let held = guards.iter().filter(|guard| guard.is_held()).count();
        assert!(held <= 1, "round {round}: {held} guards held");
        assert_eq!(guards.len(), held);
        join_all(guards.into_iter().map(Guard::release)).await;
    }
}

#[tokio::test]
async fn of_contenders_for_an_expired_lease_at_most_one_holds() {
    let place = Place::new().await;
    let foreign = serde_json::json!({ "holderIdentity": "gone", "leaseDurationSeconds": 1 });
    let rounds = join_all((0..TRIALS).map(async |round| {
        let name = format!("expired-{round}");
        place.foreign(&name, foreign.clone()).await;
        let handles: Vec<_> = (0..5).map(|_| place.handle()).collect();
        let wait = brief().wait(Duration::from_secs(4));
        let rush = join_all(handles.iter().map(|handle| handle.lock(&name, wait))).await;
        let guards: Vec<_> = rush.into_iter().flatten().collect();
        (guards.iter().filter(|guard| guard.is_held()).count(), guards.len())
    }))
    .await;
    assert!(rounds.iter().all(|&(held, _)| held <= 1), "{rounds:?}");
    // They need not hold still: one pause of this machine longer than the hold ends all tenures.
    assert!(rounds.iter().any(|&(_, entered)| entered > 0), "no contender got a lock in any round");
}
