//! What makes other electors have two leaders, or none: for each, the trial that a published one was seen to fail.
//!
//! The witness is the successor: when it is told that it leads, its predecessor's work must have ended. All of them
//! read the one clock of this process. That many contenders are not all granted is in `cut_off.rs`.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use futures::future::join_all;
use kube::api::DeleteParams;
use leasehold::{Kubernetes, LeaderOptions, LockOptions, Loss, Sync as _, Tenure, TenureState};
use tokio::time::timeout;

use super::Place;
use leasehold_test_support::{Link, Proxy};

const TRIALS: usize = 30;
/// For what comes soon, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Long enough for a machine that stalls now and then, with 30 trials at once.
const TTL: Duration = Duration::from_secs(5);

fn short() -> LeaderOptions {
    LeaderOptions::default().ttl(TTL)
}

/// Work that notes whether it was begun, and when it was ended.
#[derive(Clone, Default)]
struct Work(Arc<Notes>);

#[derive(Default)]
struct Notes {
    begun: OnceLock<()>,
    ended: OnceLock<Instant>,
}

struct Working(Work);

impl Work {
    async fn go_on(self, _: Tenure) {
        let _ = self.0.begun.set(());
        let _working = Working(self);
        std::future::pending::<()>().await;
    }

    /// How long it went on after that.
    fn outlived(&self, that: Instant) -> Duration {
        self.0.ended.get().map_or(Duration::MAX, |ended| ended.saturating_duration_since(that))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.0.0.ended.set(Instant::now());
    }
}

/// Who is cut off, and who comes after.
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

    /// How long the work of a leader went on after its successor had been told that it leads. None if it was not at
    /// work when it was to be cut off, the machine being as slow.
    async fn overlap(&self, link: Link, resigns: bool) -> Option<Duration> {
        let leader = self.first.leader(&self.name, short()).await.unwrap();
        let guard = leader.elected().await.unwrap();
        let second = self.second.leader(&self.name, short()).await.unwrap();
        let work = Work::default();
        let run = leader.run(|tenure| work.clone().go_on(tenure));
        let succession = async {
            let at_work = work.0.begun.get().is_some() && guard.is_held();
            drop(guard); // the run shares it
            self.proxy.set(link);
            let resigned = async {
                if resigns {
                    drop(timeout(LONG, leader.resign()).await.expect("an end"));
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
    assert!(twice.is_empty(), "two at work in {} of {}: {twice:?}", twice.len(), valid.len());
    assert!(valid.len() > TRIALS / 2, "only {} of {TRIALS} trials came about", valid.len());
}

#[tokio::test]
async fn the_work_of_a_leader_that_is_cut_off_ends_before_its_successor_leads() {
    overlaps(Link::BLACK_HOLE, false).await;
}

#[tokio::test]
async fn the_work_ends_before_the_release_of_one_that_is_cut_off() {
    overlaps(Link::BLACK_HOLE, true).await;
}

/// The successor leads within milliseconds.
#[tokio::test]
async fn the_work_ends_before_a_release_that_is_stored_and_not_answered() {
    overlaps(Link::NO_REPLIES, true).await;
}

#[tokio::test]
async fn a_release_that_comes_late_does_not_wipe_a_successor() {
    let place = Place::new().await;
    let trials = Trial::all(&place).await;
    let told = join_all(trials.iter().enumerate().map(async |(number, trial)| {
        let options = LockOptions::default().ttl(TTL);
        let first = trial.first.lock(&trial.name, options).await.unwrap();
        trial.proxy.set(Link::NO_REQUESTS);
        // So late that it is still at it when there is a successor: it is tried for one time to live.
        let releasing = async {
            tokio::time::sleep(first.remaining() / 2).await;
            let _told = first.release().await;
        };
        let succession = async {
            let second = trial.second.lock(&trial.name, options).await.unwrap();
            // What was sent arrives now, or is sent again.
            if number % 2 == 1 {
                trial.proxy.reset();
            }
            trial.proxy.set(Link::default());
            second
        };
        let (second, ()) = tokio::join!(succession, releasing);
        let spec = place.leases().get(&trial.name).await.unwrap().spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some(second.holder()), "{}", trial.name);
        // What the successor itself sees when it writes again.
        tokio::time::sleep(TTL / 2).await;
        second.state()
    }))
    .await;
    // On a machine that stalls it may have expired: wiped is another reason.
    let lost =
        |state: &TenureState| matches!(state, TenureState::Lost(loss) if *loss != Loss::Expired);
    let wiped: Vec<_> = told.iter().filter(|state| lost(state)).collect();
    assert!(wiped.is_empty(), "{} of {TRIALS}: {wiped:?}", wiped.len());
    let kept = told.iter().filter(|state| !matches!(state, TenureState::Lost(_))).count();
    assert!(kept > TRIALS / 2, "only {kept} of {TRIALS} trials came about: {told:?}");
}

#[tokio::test]
async fn a_leader_that_reads_of_another_stops_with_its_next_renewal() {
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
                lease.spec.get_or_insert_default().holder_identity = Some("somebody else".into());
            })
            .await;
        let (taken, deadline) = (Instant::now(), guard.remaining());
        let why = timeout(LONG, guard.lost()).await.expect("it reads, and stops");
        (taken.elapsed(), deadline, why)
    }))
    .await;
    for (lasted, deadline, why) in lasted {
        assert_eq!(why, Loss::Taken, "after {lasted:?}");
        assert!(
            lasted < deadline,
            "{lasted:?} of two leaders, and the deadline was at {deadline:?}"
        );
    }
}

#[tokio::test]
async fn a_candidacy_outlives_the_deletion_of_its_lease() {
    let place = Place::new().await;
    let (a, b) = (place.handle(), place.handle());
    let candidates =
        [a.leader("orders", short()).await.unwrap(), b.leader("orders", short()).await.unwrap()];
    let elected = async || {
        let any = candidates.each_ref().map(|candidate| Box::pin(candidate.elected()));
        let any = timeout(LONG, futures::future::select_all(any)).await;
        any.expect("somebody leads again").0.unwrap()
    };
    let mut last = elected().await;
    for round in 0..5 {
        place.leases().delete("orders", &DeleteParams::default()).await.unwrap();
        let why = timeout(LONG, last.lost()).await.expect("it reads, and stops");
        assert_eq!(why, Loss::Deleted, "round {round}");
        let next = elected().await;
        assert!(!last.is_held());
        assert!(next.token() > last.token(), "round {round}");
        last = next;
    }
}

#[tokio::test]
async fn candidates_that_start_at_one_instant_are_never_two_leaders() {
    let place = Place::new().await;
    let place = &place;
    let rounds = join_all((0..TRIALS).map(async |round| {
        let handles: Vec<_> = (0..3).map(|_| place.handle()).collect();
        let name = &format!("rush-{round}");
        let standing = join_all(handles.iter().map(|handle| handle.leader(name, short()))).await;
        let standing: Vec<_> = standing.into_iter().flatten().collect();
        let soon = Duration::from_millis(300);
        let elected = standing.iter().map(|candidate| timeout(soon, candidate.elected()));
        let guards: Vec<_> = join_all(elected).await.into_iter().flatten().flatten().collect();
        guards.iter().filter(|guard| guard.is_held()).count()
    }))
    .await;
    assert!(rounds.iter().all(|&leaders| leaders <= 1), "{rounds:?}");
    assert!(rounds.contains(&1), "nobody ever led");
}
