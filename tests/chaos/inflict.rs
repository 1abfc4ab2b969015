//! How each fault starts and ends.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use leasehold_test_support::{ADMIN, Link, Rng, Way};
use rustix::process::Signal;
use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};

use crate::{
    event::{Lock, now},
    fault::Fault,
    ledger::Deletion,
    stage::{Place, Stage},
};

/// One drawn fault. All its random choices are made before it begins.
pub(crate) struct Draw {
    pub(crate) fault: Fault,
    pub(crate) lasts: Duration,
    /// The number of the place, for a fault of one member.
    number: usize,
    /// For a fault of one lock.
    lock: Lock,
    /// Keeps other faults away from the same link, process or server.
    _busy: OwnedMutexGuard<()>,
    link: Link,
    /// At the end the bytes held back are lost, instead of late.
    forget: bool,
}

impl Draw {
    /// None if every possible target has another fault.
    pub(crate) fn new(stage: &Stage, fault: Fault, rng: &mut Rng) -> Option<Self> {
        let (number, busy) = match fault {
            Fault::Slow
            | Fault::SlowProxy
            | Fault::NoRequests
            | Fault::NoReplies
            | Fault::BlackHole
            | Fault::Reset
            | Fault::Cut => place(stage, rng, |place| &place.link)?,
            Fault::StoppedBriefly
            | Fault::StoppedAboutTtl
            | Fault::StoppedLong
            | Fault::Killed
            | Fault::Crashed => place(stage, rng, |place| &place.process)?,
            Fault::ServerKilled
            | Fault::ServerStopped
            | Fault::EtcdStopped
            | Fault::Deleted
            | Fault::SessionDeleted => (0, Arc::clone(&stage.server).try_lock_owned().ok()?),
        };
        let (least, most) = match fault {
            Fault::Slow | Fault::Cut => (1000, 6000),
            Fault::SlowProxy => (4000, 15_000),
            Fault::NoRequests | Fault::NoReplies | Fault::BlackHole => (500, 9000),
            Fault::StoppedBriefly => (200, 2000),
            Fault::StoppedAboutTtl => (2200, 5500),
            Fault::StoppedLong => (5500, 14_000),
            Fault::ServerKilled => (0, 5000),
            Fault::ServerStopped | Fault::EtcdStopped => (1000, 8000),
            Fault::Reset
            | Fault::Killed
            | Fault::Deleted
            | Fault::SessionDeleted
            | Fault::Crashed => (0, 1),
        };
        let lasts = Duration::from_millis(rng.between(least, most));
        let link = link(fault, rng);
        // The requests that a slow proxy delays are to complete.
        let forget = rng.chance(500) && fault != Fault::SlowProxy;
        let lock = rng.pick(&Lock::ALL);
        Some(Self { fault, lasts, number, lock, _busy: busy, link, forget })
    }

    /// Starts the fault, waits, and ends it.
    pub(crate) async fn inflict(self, stage: Arc<Stage>) {
        if matches!(self.fault, Fault::Killed | Fault::Crashed) {
            // `Stage::keep` sees the end of the process and records the fault.
            return stage.signal(self.number, Signal::KILL);
        }
        let details = format!("place {} for {:?}", self.number, self.lasts);
        let span = stage.ledger().fault(self.fault, now(), &details);
        match self.fault {
            Fault::Slow
            | Fault::SlowProxy
            | Fault::NoRequests
            | Fault::NoReplies
            | Fault::BlackHole
            | Fault::Cut => {
                self.disturb(&stage.places[self.number]).await;
            }
            Fault::Reset => stage.places[self.number].proxy.reset(),
            Fault::StoppedBriefly | Fault::StoppedAboutTtl | Fault::StoppedLong => {
                stage.signal(self.number, Signal::STOP);
                sleep(self.lasts).await;
                stage.signal(self.number, Signal::CONT);
            }
            Fault::ServerKilled => {
                stage.plane.kill_apiserver();
                sleep(self.lasts).await;
                stage.plane.restart_apiserver().await;
            }
            Fault::ServerStopped => {
                stage.plane.pause_apiserver();
                sleep(self.lasts).await;
                stage.plane.resume_apiserver();
            }
            Fault::EtcdStopped => {
                stage.plane.pause_etcd();
                sleep(self.lasts).await;
                stage.plane.resume_etcd();
            }
            Fault::Deleted => delete(&stage, self.lock).await,
            Fault::SessionDeleted => delete_session(&stage).await,
            Fault::Killed | Fault::Crashed => {}
        }
        stage.ledger().healed(span, now());
    }

    async fn disturb(&self, place: &Place) {
        place.proxy.set(self.link);
        sleep(self.lasts).await;
        if self.forget {
            place.proxy.reset();
            // Let the connections end before bytes pass again.
            tokio::task::yield_now().await;
        }
        place.proxy.set(Link::default());
    }
}

/// A random place without another fault of this kind. In 60 % of draws the place of a holder comes first.
fn place(
    stage: &Stage,
    rng: &mut Rng,
    of: fn(&Place) -> &Arc<tokio::sync::Mutex<()>>,
) -> Option<(usize, OwnedMutexGuard<()>)> {
    let chosen = rng.index(stage.places.len());
    let lock = rng.pick(&Lock::ALL);
    let holder = stage.ledger().holder(lock, now()).filter(|_| rng.chance(600));
    let others = (0..stage.places.len()).map(|by| (chosen + by) % stage.places.len());
    let mut order = holder.into_iter().chain(others);
    order.find_map(|n| Some((n, Arc::clone(of(&stage.places[n])).try_lock_owned().ok()?)))
}

fn link(fault: Fault, rng: &mut Rng) -> Link {
    let slow = Way::Slow(Duration::from_millis(rng.between(20, 900)));
    let cut = Way::Cut(rng.index(8000) + 1);
    let both = rng.below(3);
    let one = |way| match both {
        0 => Link { requests: way, replies: Way::Open },
        1 => Link { requests: Way::Open, replies: way },
        _ => Link { requests: way, replies: way },
    };
    let mut delay = || Way::Slow(Duration::from_millis(rng.between(200, 3000)));
    match fault {
        Fault::Slow => one(slow),
        Fault::SlowProxy => Link { requests: delay(), replies: delay() },
        Fault::Cut => one(cut),
        Fault::NoRequests => Link::NO_REQUESTS,
        Fault::NoReplies => Link::NO_REPLIES,
        Fault::BlackHole => Link::BLACK_HOLE,
        _ => Link::default(),
    }
}

/// How long a deletion may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Deletes the Lease of a session, so that all its locks are lost. Whether it succeeds makes no difference for what is
/// promised.
async fn delete_session(stage: &Stage) {
    let leases: Api<Lease> = Api::namespaced(stage.plane.client(ADMIN), &stage.namespace);
    let deleting = async {
        let of_sessions = ListParams::default().labels("leasehold.dev/kind=session");
        let sessions = leases.list(&of_sessions).await.ok()?;
        let holder = stage.ledger().holder(Lock::Orders, now());
        let identity = |lease: &Lease| lease.metadata.annotations.clone().unwrap_or_default();
        let of_holder = |lease: &&Lease| {
            let prefix = format!("member-{}-", holder.unwrap_or_default());
            identity(lease).into_values().any(|value| value.starts_with(&prefix))
        };
        let chosen = sessions.items.iter().rfind(of_holder).or_else(|| sessions.items.last())?;
        let name = chosen.metadata.name.as_deref()?;
        leases.delete(name, &DeleteParams::default()).await.ok()
    };
    let _ = timeout(ANSWER, deleting).await;
}

/// Deletes the Lease of a lock. Without an answer the fault lasts until the deletion can no longer arrive.
async fn delete(stage: &Stage, lock: Lock) {
    const LATEST: Duration = Duration::from_secs(40);
    let leases: Api<Lease> = Api::namespaced(stage.plane.client(ADMIN), &stage.namespace);
    let from = now();
    let deleting = async {
        leases.delete(lock.name(), &DeleteParams::default()).await?;
        let version = leases.list(&ListParams::default()).await?.metadata.resource_version;
        Ok(version.and_then(|version| version.parse().ok()))
    };
    match timeout(ANSWER, deleting).await {
        Ok(Ok(Some(version))) => {
            stage.ledger().deleted(Deletion { lock, from, to: u64::MAX, version });
        }
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {}
        _ => {
            sleep(LATEST).await;
            stage.ledger().deleted(Deletion { lock, from, to: now(), version: u64::MAX });
        }
    }
}
