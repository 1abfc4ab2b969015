//! Fail-overs: the requests that they take, and the time without a leader.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};
use leasehold::{LeaderOptions, LockOptions, Sync as _};
use serde_json::json;

use super::{ADMIN, Bench, by_verb, process::play, quantile};
use leasehold_test_support::since;

/// A leader resigns while five followers are candidates.
pub(crate) async fn graceful(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let first = bench.handle(&namespace);
    let leader = first.leader("billing", LeaderOptions::default()).await.unwrap();
    let handles: Vec<_> = (0..5).map(|_| bench.handle(&namespace)).collect();
    let others =
        join_all(handles.iter().map(|handle| handle.leader("billing", LeaderOptions::default())))
            .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let count = || bench.plane.audit_of(|request| request.namespace == namespace);
    let before = count();
    leader.resign().await.unwrap();
    let candidates: Vec<_> = others.into_iter().flatten().collect();
    let elected = futures::future::select_all(
        candidates.iter().map(|candidate| Box::pin(candidate.elected())),
    )
    .await
    .0;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spent = since(&before, &count());
    drop(elected);
    let comparison = "one update is the release, one the winner's claim; the winner's candidate record is deleted";
    bench.row("graceful fail-over, 5 followers, all requests", by_verb(&spent), comparison);
}

/// Eight leaders are killed with SIGKILL. Each has one follower; all durations are the defaults.
pub(crate) async fn crash(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let leases: Api<Lease> = Api::namespaced(bench.plane.client(ADMIN), &namespace);
    let names: Vec<_> = (0..8).map(|number| format!("crash-{number}")).collect();
    let leaders: Vec<_> =
        names.iter().map(|name| play(bench, &namespace, &format!("lead {name}"))).collect();
    let followers: Vec<_> = names.iter().map(|_| bench.handle(&namespace)).collect();
    let candidates = join_all(
        followers
            .iter()
            .zip(&names)
            .map(|(sync, name)| sync.leader(name, LeaderOptions::default())),
    )
    .await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    drop(leaders);
    let count = || bench.plane.audit_of(|request| request.namespace == namespace);
    let before = count();
    let renewed = join_all(
        names
            .iter()
            .map(async |name| leases.get(name).await.unwrap().spec.unwrap().renew_time.unwrap().0),
    )
    .await;
    let mut gaps = join_all(candidates.iter().zip(renewed).map(async |(candidate, renewed)| {
        let _guard = candidate.as_ref().unwrap().elected().await.unwrap();
        // `renewed` and `now` are times of the same wall clock, because both processes run on this machine.
        #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
        let now = k8s_openapi::jiff::Timestamp::now();
        Duration::try_from(now.duration_since(renewed)).unwrap()
    }))
    .await;
    let mut spent = since(&before, &count());
    // Do not count the reads above, which this benchmark sends to learn the renew times.
    spent.entry("get".into()).and_modify(|gets| *gets -= names.len() as u64);
    let result = format!(
        "{:.2} s to {:.2} s, p50 {:.2} s",
        quantile(&mut gaps, 0.0).as_secs_f64(),
        quantile(&mut gaps, 1.0).as_secs_f64(),
        quantile(&mut gaps, 0.5).as_secs_f64(),
    );
    bench.row("crash fail-over, from the last renewal to the next leader, ttl 15 s", result, "");
    bench.row(
        "8 crash fail-overs, all requests",
        by_verb(&spent),
        "includes renewals of candidate records in that time",
    );
}

/// 200 handles wait for one record that expires.
pub(crate) async fn stampede(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let leases: Api<Lease> = Api::namespaced(bench.plane.client(ADMIN), &namespace);
    let gone = json!({
        "metadata": { "name": "orders" },
        "spec": { "holderIdentity": "gone", "leaseDurationSeconds": 20 },
    });
    leases.create(&PostParams::default(), &serde_json::from_value(gone).unwrap()).await.unwrap();
    let handles: Vec<_> = (0..200).map(|_| bench.handle(&namespace)).collect();
    let wait = LockOptions::default().wait(Duration::from_secs(26));
    let waiting =
        async { join_all(handles.iter().map(|handle| handle.lock("orders", wait))).await };
    let count = || bench.plane.audit_of(|request| request.namespace == namespace);
    let before = async {
        // By now each waiter has read the record and watches it, and the record has not expired.
        tokio::time::sleep(Duration::from_secs(15)).await;
        count()
    };
    let (outcome, before) = tokio::join!(waiting, before);
    let winners = outcome.iter().filter(|guard| guard.is_ok()).count();
    let spent = since(&before, &count());
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_contender = spent.values().sum::<u64>() as f64 / 200.0;
    let result = format!(
        "{winners} winner, {per_contender:.2} requests per contender ({})",
        by_verb(&spent)
    );
    bench.row("200 contenders at one expiry", result, "includes renewals by the winner");
}
