//! Metrics of contenders.

use std::{fmt::Debug, str::FromStr};

use leasehold::{Fault, LeaderOptions, LockOptions, Memory, SessionOptions, Sync as _};
use tokio::time::sleep;

use crate::{hold, pair, recorder::Registry, secs, soon};

impl Registry {
    /// The value of the only series that starts with `series`.
    #[track_caller]
    fn value<T: FromStr<Err: Debug>>(&self, series: &str) -> T {
        let text = self.render();
        let mut found = text.lines().filter_map(|line| line.strip_prefix(series));
        let value = found.next().unwrap_or_else(|| panic!("no {series} in {text}"));
        assert_eq!(found.next(), None, "more than one series starts with {series}");
        value.trim().parse().expect("a number")
    }

    #[track_caller]
    fn lock<T: FromStr<Err: Debug>>(&self, name: &str) -> T {
        self.value(&format!("leasehold_{name}{{kind=\"lock\",name=\"x\"}}"))
    }

    #[track_caller]
    fn transitions(&self, to: &str) -> u64 {
        let series = "leasehold_transitions_total{kind=\"lock\",name=\"x\",to=";
        self.value(&format!("{series}\"{to}\"}}"))
    }

    #[track_caller]
    fn heartbeats(&self) -> [u64; 4] {
        let series = "leasehold_heartbeats_total{outcome=";
        ["stored", "conflict", "unknown", "refused"]
            .map(|outcome| self.value(&format!("{series}\"{outcome}\"}}")))
    }

    #[track_caller]
    fn renewals(&self, outcome: &str) -> u64 {
        let series = "leasehold_renewals_total{kind=\"lock\",name=\"x\",outcome=";
        self.value(&format!("{series}\"{outcome}\"}}"))
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_cover_a_tenure_from_acquisition_to_release() {
    let registry = Registry::default();
    let _recording = metrics::set_default_local_recorder(&registry);
    let (a, _b) = pair();

    let guard = hold(&a).await;
    assert!(registry.lock::<u64>("is_leader") == 1);
    sleep(secs(12)).await;
    let next = a.lock("x", LockOptions::default());
    let (next, released) = tokio::join!(next, async {
        tokio::task::yield_now().await;
        guard.release().await
    });
    released.unwrap();
    let held: u64 = registry.lock("is_leader");
    let ends: f64 = registry.lock("deadline_timestamp_seconds");
    let left = ends - registry.lock::<f64>("last_success_timestamp_seconds");
    next.unwrap().release().await.unwrap();

    assert_eq!((held, registry.lock("is_leader")), (1, 0));
    assert!(
        (12.9..=13.1).contains(&left),
        "the deadline is the hold after the last success: {left}"
    );
    let changes = ["held", "handed_over", "released", "in_doubt", "lost"];
    let counted = changes.map(|to| registry.transitions(to));
    assert_eq!(counted, [2, 1, 1, 0, 0]);
    let outcomes = ["stored", "conflict", "unknown", "refused"];
    assert_eq!(outcomes.map(|outcome| registry.renewals(outcome)), [2, 0, 0, 0]);
    assert_eq!(registry.lock::<u64>("renewal_duration_seconds_count"), 2);
}

/// Outcomes of renewals, from the first one with the fault on.
#[expect(clippy::future_not_send, reason = "the recorder belongs to the thread")]
async fn disturbed(fault: impl FnOnce(&Memory)) -> [u64; 4] {
    let registry = Registry::default();
    let _recording = metrics::set_default_local_recorder(&registry);
    let (a, _b) = pair();
    let guard = hold(&a).await;
    fault(&a);
    soon(guard.lost()).await;
    sleep(secs(1)).await;
    assert_eq!(registry.lock::<u64>("is_leader"), 0);
    assert_eq!(registry.transitions("lost"), 1);
    ["stored", "conflict", "unknown", "refused"].map(|outcome| registry.renewals(outcome))
}

#[tokio::test(start_paused = true)]
async fn renewals_are_counted_by_their_outcome() {
    let unknown = disturbed(|sync| sync.disturb(Some(Fault::LoseRequest))).await;
    let refused = disturbed(|sync| sync.disturb(Some(Fault::Refuse))).await;
    let conflict = disturbed(|sync| assert!(sync.delete_record("x"))).await;

    assert!(unknown[2] >= 1 && unknown[2] == unknown.iter().sum::<u64>(), "{unknown:?}");
    assert!(refused[3] >= 2 && refused[3] == refused.iter().sum::<u64>(), "{refused:?}");
    assert_eq!(conflict, [0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn every_series_exists_from_the_start_and_none_names_a_candidate() {
    let registry = Registry::default();
    let _recording = metrics::set_default_local_recorder(&registry);
    let (a, b) = pair();
    let _leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let _follower = b.leader("e", LeaderOptions::default()).await.unwrap();

    let text = registry.render();

    assert!(
        text.contains(
            "leasehold_renewals_total{kind=\"election\",name=\"e\",outcome=\"unknown\"} 0"
        )
    );
    assert!(!text.contains("candidate"), "{text}");
    let leads = "leasehold_is_leader{kind=\"election\",name=\"e\"}";
    assert_eq!(
        registry.value::<u64>(leads),
        1,
        "a follower must not reset the gauge of the leader"
    );
    let names = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(names, text.lines().filter(|line| line.starts_with("# HELP ")).count());
    assert_eq!(names, 6, "{text}");
}

#[tokio::test(start_paused = true)]
async fn metrics_of_sessions_cover_heartbeats_waits_and_hand_overs() {
    let registry = Registry::default();
    let _recording = metrics::set_default_local_recorder(&registry);
    let (a, b) = pair();
    let one = a.session(SessionOptions::default()).await.unwrap();
    let two = b.session(SessionOptions::default()).await.unwrap();

    let guard = one.lock("x", LockOptions::default()).await.unwrap();
    let alone: [u64; 2] = ["is_leader", "wait_duration_seconds_count"].map(|of| registry.lock(of));
    let (next, queued) = tokio::join!(two.lock("x", LockOptions::default()), async {
        sleep(secs(12)).await;
        let queued: u64 = registry.lock("queue_length");
        guard.release().await.unwrap();
        queued
    });
    let after: [u64; 2] = ["is_leader", "queue_length"].map(|of| registry.lock(of));
    next.unwrap().release().await.unwrap();

    assert_eq!((alone, queued, after), ([1, 1], 1, [1, 0]));
    assert_eq!(registry.lock::<u64>("is_leader"), 0);
    assert_eq!(registry.lock::<u64>("wait_duration_seconds_count"), 2);
    assert_eq!(
        registry.lock::<u64>("handover_duration_seconds_count"),
        1,
        "a release that no other session waits for is no hand-over"
    );
    assert_eq!(["held", "released", "lost"].map(|to| registry.transitions(to)), [2, 2, 0]);
    assert_eq!(registry.heartbeats(), [6, 0, 0, 0], "two creations, and a renewal every 5 s");
    assert_eq!(registry.value::<u64>("leasehold_heartbeat_duration_seconds_count{}"), 6);
    let text = registry.render();
    let described = |prefix| text.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!((described("# TYPE "), described("# HELP ")), (7, 7), "{text}");
}

/// Outcomes of heartbeats of a session that holds a lock, with the fault on until the lock is lost.
#[expect(clippy::future_not_send, reason = "the recorder belongs to the thread")]
async fn disturbed_session(fault: Fault) -> [u64; 4] {
    let registry = Registry::default();
    let _recording = metrics::set_default_local_recorder(&registry);
    let (a, _b) = pair();
    let session = a.session(SessionOptions::default()).await.expect("a session");
    let guard = session.lock("x", LockOptions::default()).await.expect("a free lock");
    a.disturb(Some(fault));
    soon(guard.lost()).await;
    sleep(secs(1)).await;
    assert_eq!(registry.lock::<u64>("is_leader"), 0);
    assert_eq!(["held", "released", "lost"].map(|to| registry.transitions(to)), [1, 0, 1]);
    registry.heartbeats()
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_counted_by_their_outcome() {
    let [stored, conflict, unknown, refused] = disturbed_session(Fault::LoseRequest).await;
    assert!((stored, conflict, refused) == (1, 0, 0) && unknown >= 1, "{unknown} {refused}");
    let [stored, conflict, unknown, refused] = disturbed_session(Fault::Refuse).await;
    assert!((stored, conflict, unknown) == (1, 0, 0) && refused >= 2, "{unknown} {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_shared_lock_counts_as_held_until_its_last_holder_in_this_process_releases_it() {
    let registry = Registry::default();
    let _recording = metrics::set_default_local_recorder(&registry);
    let session = pair().0.session(SessionOptions::default()).await.unwrap();
    let shared = || session.lock("x", LockOptions::default().shared());
    let (one, two) = (shared().await.unwrap(), shared().await.unwrap());

    one.release().await.unwrap();
    let held: u64 = registry.lock("is_leader");
    two.release().await.unwrap();

    assert_eq!((held, registry.lock::<u64>("is_leader")), (1, 0));
}
