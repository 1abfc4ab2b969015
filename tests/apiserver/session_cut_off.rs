//! A holder of a session that loses its connection, or whose Leases are deleted: never two guards.
//!
//! Thirty trials of each way run in parallel. Each has its own lock, and a holder with its own session behind its own
//! proxy; one session waits for all the locks. When the second guard of a lock is granted, the first one must not be
//! held. One look is enough, because a lost guard is never held again.

use std::{future::Future, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams};
use leasehold::{Guard, Kubernetes, LockOptions, Session, SessionOptions, Sync as _};
use leasehold_test_support::{Link, Proxy};
use tokio::time::{sleep, timeout};

use super::Place;

const TRIALS: u32 = 30;
/// Long enough for sixty sessions on a busy machine.
const TTL: Duration = Duration::from_secs(4);
/// A limit for the whole test. Nothing is said about its speed.
const LONG: Duration = Duration::from_secs(120);

struct Trial {
    number: u32,
    proxy: Proxy,
    holder: Session,
    first: Guard,
    successor: Session,
    leases: Api<Lease>,
}

fn lock_name(number: u32) -> String {
    format!("lock-{number}")
}

impl Trial {
    async fn new(place: &Place, successor: &Session, number: u32) -> Self {
        let (proxy, config) = place.behind_proxy().await;
        let handle = Kubernetes::from_config(config, place.options()).unwrap();
        let holder = handle.session(SessionOptions::default().ttl(TTL)).await.unwrap();
        let first = holder.lock(&lock_name(number), LockOptions::default()).await.unwrap();
        let (successor, leases) = (successor.clone(), place.leases());
        Self { number, proxy, holder, first, successor, leases }
    }

    /// Completes when the successor waits for the lock.
    async fn wanted(&self) {
        tokio::select! {
            () = self.first.requested() => {}
            _ = self.first.lost() => {}
        }
    }

    /// Changes the link when the successor has had time to read the holder's session, and at another part of the time
    /// between two heartbeats than the other trials do.
    async fn set(&self, link: Link) {
        self.wanted().await;
        sleep(TTL / 2 + TTL / 3 / TRIALS * self.number).await;
        self.proxy.set(link);
    }

    /// Repairs the link when the holder has lost its lock: what was held back arrives when the session is about to be
    /// ended by the successor.
    async fn heal_at_the_loss(&self) {
        self.first.lost().await;
        self.proxy.set(Link::default());
    }

    async fn delete(&self, lease: &str) {
        match self.leases.delete(lease, &DeleteParams::default()).await {
            // On a machine that is so busy that the session was lost before.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            deleted => drop(deleted.unwrap()),
        }
    }

    /// Waits for the second guard. True if the first one was still held when it was granted.
    async fn doubles(&self) -> bool {
        let name = lock_name(self.number);
        let lock = self.successor.lock(&name, LockOptions::default());
        let second = timeout(LONG, lock).await.expect("the lock is granted").unwrap();
        let both = self.first.is_held();
        assert!(second.token() > self.first.token());
        // The link works again: what the first session sends now must change nothing.
        self.proxy.set(Link::default());
        timeout(LONG, self.first.lost()).await.expect("the first guard is lost");
        both
    }
}

/// Runs all trials of one kind. None may end with two guards held.
async fn trials<F: Future<Output = bool>>(run: impl Fn(Trial) -> F) {
    let place = &Place::new().await;
    let options = SessionOptions::default().ttl(TTL);
    let successor = &place.handle().session(options).await.unwrap();
    let started = join_all((0..TRIALS).map(|number| Trial::new(place, successor, number))).await;
    let ended = join_all(started.into_iter().map(run)).await;
    let doubles = ended.into_iter().filter(|&both| both).count();
    assert_eq!(doubles, 0, "trials of {TRIALS} with two guards held");
}

#[tokio::test]
async fn a_cut_connection_never_leads_to_two_holders() {
    trials(|trial| async move { tokio::join!(trial.doubles(), trial.set(Link::BLACK_HOLE)).0 })
        .await;
}

#[tokio::test]
async fn replies_that_are_held_back_never_lead_to_two_holders() {
    trials(|trial| async move { tokio::join!(trial.doubles(), trial.set(Link::NO_REPLIES)).0 })
        .await;
}

#[tokio::test]
async fn a_connection_that_returns_at_the_loss_never_leads_to_two_holders() {
    trials(|trial| async move {
        let cut = async {
            trial.set(Link::BLACK_HOLE).await;
            trial.heal_at_the_loss().await;
        };
        tokio::join!(trial.doubles(), cut).0
    })
    .await;
}

/// No event reports a deleted lock to a waiter. The waiter learns of it from its next read, a third of the time to live
/// after it joined the queue, and the holder from an event.
#[tokio::test]
async fn a_deleted_lock_is_lost_before_a_waiter_reads_again() {
    trials(|trial| async move {
        let deleting = async {
            trial.wanted().await;
            trial.delete(&lock_name(trial.number)).await;
        };
        tokio::join!(trial.doubles(), deleting).0
    })
    .await;
}

#[tokio::test]
async fn a_deleted_session_never_leads_to_two_holders() {
    trials(|trial| async move {
        let id = trial.holder.id();
        let deleting = async {
            trial.set(Link::default()).await;
            trial.delete(&id).await;
        };
        tokio::join!(trial.doubles(), deleting).0
    })
    .await;
}

#[tokio::test]
async fn a_session_deleted_while_its_process_is_disconnected_never_leads_to_two_holders() {
    trials(|trial| async move {
        let id = trial.holder.id();
        let cut = async {
            trial.set(Link::BLACK_HOLE).await;
            trial.delete(&id).await;
            trial.heal_at_the_loss().await;
        };
        tokio::join!(trial.doubles(), cut).0
    })
    .await;
}
