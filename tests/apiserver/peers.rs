//! Situations in which published leader electors end with two leaders, or with none.
//!
//! The work of a leader must have ended when its successor learns that it leads. All tasks read the same clock,
//! because they run in one process. `cut_off.rs` tests that only one of many contenders gets a lock.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use futures::future::join_all;
use kube::api::DeleteParams;
use leasehold::{Kubernetes, LeaderOptions, LockOptions, Loss, Sync as _, Tenure, TenureState};
use leasehold_test_support::{Link, Proxy};
use tokio::time::timeout;

use super::Place;

const TRIALS: usize = 30;
/// A limit for events that are expected soon, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Long enough for a machine that stalls at times, with 30 trials in parallel.
const TTL: Duration = Duration::from_secs(5);

fn short() -> LeaderOptions {
    LeaderOptions::default().ttl(TTL)
}

/// Work that records whether it started, and when it ended.
#[derive(Clone, Default)]
struct Work(Arc<Notes>);

#[derive(Default)]
struct Notes {
    begun: OnceLock<()>,
    ended: OnceLock<Instant>,
}

struct Working(Work);

impl Work {
    async fn run_until_dropped(self, _: Tenure) {
        let _ = self.0.begun.set(());
        let _working = Working(self);
        std::future::pending::<()>().await;
    }

    /// How long the work continued after `that`.
    fn outlived(&self, that: Instant) -> Duration {
        self.0.ended.get().map_or(Duration::MAX, |ended| ended.saturating_duration_since(that))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.0.0.ended.set(Instant::now());
    }
}

/// A leader behind a proxy, and its successor.
struct Trial {
    name: String,
    proxy: Proxy,
    first: Kubernetes,
    second: Kubernetes,
}

impl Trial {
    async fn all(place: &Place) -> Vec<Self> {
        join_all((0..TRIALS).map(async |number| {
            let (proxy, config) = place.behind_proxy().await;
            let first = Kubernetes::from_config(config, place.options()).unwrap();
            Self { name: format!("trial-{number}"), proxy, first, second: place.handle() }
        }))
        .await
    }

    /// How long the work of a leader continued after its successor learned that it leads. None if the leader was
    /// not at work when the link changed, because the machine was too slow.
    async fn overlap(&self, link: Link, resigns: bool) -> Option<Duration> {
        let leader = self.first.leader(&self.name, short()).await.unwrap();
        let guard = leader.elected().await.unwrap();
        let second = self.second.leader(&self.name, short()).await.unwrap();
        let work = Work::default();
        let run = leader.run(|tenure| work.clone().run_until_dropped(tenure));
        let succession = async {
            let at_work = work.0.begun.get().is_some() && guard.is_held();
            drop(guard); // `run` holds its own guard
            self.proxy.set(link);
            let resigned = async {
                if resigns {
                    drop(timeout(LONG, leader.resign()).await.expect("resign returns"));
                }
            };
            let succeeded = async {
                let guard = timeout(LONG, second.elected()).await.expect("a successor").unwrap();
                (Instant::now(), guard)
            };
            (tokio::join!(succeeded, resigned).0, at_work)
        };
        let ((began, _guard), at_work) = tokio::select! {
            biased;
            () = async { drop(run.await); std::future::pending::<()>().await } => unreachable!(),
            began = succession => began,
        };
        at_work.then(|| work.outlived(began))
    }
}

async fn overlaps(link: Link, resigns: bool) {
    let place = Place::new().await;
    let trials = Trial::all(&place).await;
    let overlaps = join_all(trials.iter().map(|trial| trial.overlap(link, resigns))).await;
    let valid: Vec<_> = overlaps.into_iter().flatten().collect();
    let twice: Vec<_> = valid.iter().filter(|overlap| !overlap.is_zero()).collect();
    assert!(
        twice.is_empty(),
        "two leaders at work in {} of {} trials: {twice:?}",
        twice.len(),
        valid.len()
    );
    assert!(valid.len() > TRIALS / 2, "only {} of {TRIALS} trials were valid", valid.len());
}

#[tokio::test]
async fn the_work_of_a_disconnected_leader_ends_before_its_successor_leads() {
    overlaps(Link::BLACK_HOLE, false).await;
}

#[tokio::test]
async fn the_work_of_a_disconnected_leader_that_resigns_ends_before_its_successor_leads() {
    overlaps(Link::BLACK_HOLE, true).await;
}

/// The release is stored, so the successor leads within milliseconds.
#[tokio::test]
async fn the_work_of_a_leader_whose_release_is_not_answered_ends_before_its_successor_leads() {
    overlaps(Link::NO_REPLIES, true).await;
}

#[tokio::test]
async fn a_late_release_does_not_remove_the_successor() {
    let place = Place::new().await;
    let trials = Trial::all(&place).await;
    let states = join_all(trials.iter().enumerate().map(async |(number, trial)| {
        let options = LockOptions::default().ttl(TTL);
        let first = trial.first.lock(&trial.name, options).await.unwrap();
        trial.proxy.set(Link::NO_REQUESTS);
        // Release late: the release is retried for one TTL, and must still be in progress when the successor leads.
        let releasing = async {
            tokio::time::sleep(first.remaining() / 2).await;
            let _ignored = first.release().await;
        };
        let succession = async {
            let second = trial.second.lock(&trial.name, options).await.unwrap();
            // Held requests arrive now, or are lost and sent again.
            if number % 2 == 1 {
                trial.proxy.reset();
            }
            trial.proxy.set(Link::default());
            second
        };
        let (second, ()) = tokio::join!(succession, releasing);
        let spec = place.leases().get(&trial.name).await.unwrap().spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some(second.holder()), "{}", trial.name);
        // The state of the successor after its next write.
        tokio::time::sleep(TTL / 2).await;
        second.state()
    }))
    .await;
    // An expiry is allowed, because the machine may stall. Any other loss means that the release removed the holder.
    let lost =
        |state: &TenureState| matches!(state, TenureState::Lost(loss) if *loss != Loss::Expired);
    let wiped: Vec<_> = states.iter().filter(|state| lost(state)).collect();
    assert!(wiped.is_empty(), "{} of {TRIALS}: {wiped:?}", wiped.len());
    let kept = states.iter().filter(|state| !matches!(state, TenureState::Lost(_))).count();
    assert!(kept > TRIALS / 2, "only {kept} of {TRIALS} trials were valid: {states:?}");
}

#[tokio::test]
async fn a_leader_stops_at_the_renewal_that_finds_another_holder() {
    let place = Place::new().await;
    let timing = LeaderOptions::default().ttl(Duration::from_secs(9));
    let handles: Vec<_> = (0..TRIALS).map(|_| place.handle()).collect();
    let lasted = join_all(handles.iter().enumerate().map(async |(number, handle)| {
        let name = format!("taken-{number}");
        let leader = handle.leader(&name, timing.clone()).await.unwrap();
        let guard = leader.elected().await.unwrap();
        let mine = guard.holder().to_owned();
        place
            .edit(&name, |lease| {
                assert_eq!(
                    lease.spec.get_or_insert_default().holder_identity.as_ref(),
                    Some(&mine)
                );
                lease.spec.get_or_insert_default().holder_identity = Some("other".into());
            })
            .await;
        let (taken, deadline) = (Instant::now(), guard.remaining());
        let why = timeout(LONG, guard.lost()).await.expect("the holder reads the change and stops");
        (taken.elapsed(), deadline, why)
    }))
    .await;
    for (lasted, deadline, why) in lasted {
        assert_eq!(why, Loss::Taken, "after {lasted:?}");
        assert!(
            lasted < deadline,
            "two leaders for {lasted:?}, until the deadline at {deadline:?}"
        );
    }
}

#[tokio::test]
async fn candidates_lead_again_after_their_lease_was_deleted() {
    let place = Place::new().await;
    let (a, b) = (place.handle(), place.handle());
    let candidates =
        [a.leader("orders", short()).await.unwrap(), b.leader("orders", short()).await.unwrap()];
    let elected = async || {
        let any = candidates.each_ref().map(|candidate| Box::pin(candidate.elected()));
        let any = timeout(LONG, futures::future::select_all(any)).await;
        any.expect("a candidate leads again").0.unwrap()
    };
    let mut last = elected().await;
    for round in 0..5 {
        place.leases().delete("orders", &DeleteParams::default()).await.unwrap();
        let why = timeout(LONG, last.lost()).await.expect("the holder reads the change and stops");
        assert_eq!(why, Loss::Deleted, "round {round}");
        let next = elected().await;
        assert!(!last.is_held());
        assert!(next.token() > last.token(), "round {round}");
        last = next;
    }
}

#[tokio::test]
async fn of_candidates_that_start_at_the_same_instant_at_most_one_leads() {
    let place = Place::new().await;
    let place = &place;
    let rounds = join_all((0..TRIALS).map(async |round| {
        let handles: Vec<_> = (0..3).map(|_| place.handle()).collect();
        let name = &format!("rush-{round}");
        let candidates = join_all(handles.iter().map(|handle| handle.leader(name, short()))).await;
        let candidates: Vec<_> = candidates.into_iter().flatten().collect();
        let soon = Duration::from_millis(300);
        let elected = candidates.iter().map(|candidate| timeout(soon, candidate.elected()));
        let guards: Vec<_> = join_all(elected).await.into_iter().flatten().flatten().collect();
        guards.iter().filter(|guard| guard.is_held()).count()
    }))
    .await;
    assert!(rounds.iter().all(|&leaders| leaders <= 1), "{rounds:?}");
    assert!(rounds.contains(&1), "no candidate led in any round");
}
