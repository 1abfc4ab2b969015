//! Metrics of contenders.

use std::{fmt::Debug, str::FromStr};

use leasehold::{Fault, LeaderOptions, LockOptions, Memory, Sync as _};
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
