//! Records with invalid or extreme values.

use crate::prelude::*;

/// How long a waiter waits before it takes over a record of another holder with this spec.
async fn waits_for(spec: Value) -> (Duration, Cluster, Guard) {
    let cluster = Cluster::new();
    cluster.put("orders", &spec);
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.assert_no_theft();
    assert!(guard.is_held());
    (cluster.now(), cluster, guard)
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_valid_duration_expires_after_15_seconds_like_in_client_go() {
    for duration in [Value::Null, json!(0), json!(-5), json!("15"), json!(1.5)] {
        let spec = json!({ "holderIdentity": "x", "leaseDurationSeconds": duration });

        let (waited, cluster, _guard) = waits_for(spec).await;

        assert!((secs(15)..secs(16)).contains(&waited), "{duration}: {waited:?}");
        assert_eq!(cluster.lease("orders").unwrap()["spec"]["leaseDurationSeconds"], 15);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_expires_after_its_own_duration_and_not_after_the_ttl_of_the_waiter() {
    for said in [1, 40, 300] {
        let spec = json!({ "holderIdentity": "x", "leaseDurationSeconds": said });

        let (waited, ..) = waits_for(spec).await;

        assert!((secs(said)..secs(said + 1)).contains(&waited), "{said} s: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_with_a_very_long_duration_is_not_taken_within_a_day() {
    for said in [i64::from(i32::MAX), i64::MAX] {
        let cluster = Cluster::new();
        cluster.put("orders", &json!({ "holderIdentity": "x", "leaseDurationSeconds": said }));
        let a = cluster.handle("a");

        let day = a.lock("orders", wait(secs(86_400))).await;

        assert!(matches!(&day, Err(Error::Timeout { holder, .. }) if holder == "x"), "{day:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_renew_time_of_a_record_is_ignored() {
    for time in [
        Value::Null,
        json!("yesterday"),
        json!(17),
        json!("0001-01-01T00:00:00.000000Z"),
        json!("2020-01-01T00:00:00.000000Z"),
        json!("9999-12-31T23:59:59.999999Z"),
    ] {
        let spec = json!({ "holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": time });

        let (waited, cluster, _guard) = waits_for(spec).await;

        assert!((secs(15)..secs(16)).contains(&waited), "{time}: {waited:?}");
        let written = cluster.lease("orders").unwrap()["spec"]["renewTime"].clone();
        assert_eq!(written.as_str().map(str::len), Some(27), "{written}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_count_of_transitions_neither_overflows_nor_becomes_negative() {
    for (before, after) in [
        (json!(i32::MAX), 0),
        (json!(i32::MAX - 1), i32::MAX),
        (json!(-7), 0),
        (json!(i64::MAX), 0),
        (json!("many"), 1),
    ] {
        let spec =
            json!({ "holderIdentity": "x", "leaseDurationSeconds": 1, "leaseTransitions": before });

        let (_, cluster, guard) = waits_for(spec).await;
        sleep(secs(20)).await;

        assert_eq!(cluster.lease("orders").unwrap()["spec"]["leaseTransitions"], after, "{before}");
        assert!(guard.is_held(), "renewals pass the validation of the server");
    }
}

/// Versions that cannot serve as a fencing token.
fn bad_versions() -> [Value; 6] {
    [Value::Null, json!(""), json!("0"), json!("x17"), json!(17), json!("-1")]
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_numeric_version_is_an_error_and_gives_no_token() {
    for version in bad_versions() {
        let cluster = Cluster::new();
        cluster.put("orders", &json!({ "holderIdentity": "" }));
        let shown = version.clone();
        let play = Play::shows(move |lease| lease["metadata"]["resourceVersion"] = shown.clone());
        cluster.on(When::verb("get"), play);
        let a = cluster.handle("a");

        let refused = a.lock("orders", wait(secs(60))).await;

        assert!(matches!(refused, Err(Error::InvalidRecord { .. })), "{version}: {refused:?}");
        assert_eq!(cluster.count(crate::server::Request::is_write), 0);
        assert!(cluster.now() < secs(1), "the error must come at once");
    }
}

#[tokio::test(start_paused = true)]
async fn an_acquiring_write_answered_without_a_numeric_version_fails_and_others_can_lock() {
    for version in bad_versions() {
        let cluster = Cluster::new();
        let shown = version.clone();
        let play = Play::shows(move |lease| lease["metadata"]["resourceVersion"] = shown.clone());
        cluster.on(When::verb("create"), play);
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));

        let refused = a.lock("orders", wait(secs(60))).await;
        assert!(matches!(refused, Err(Error::InvalidRecord { .. })), "{version}: {refused:?}");
        cluster.heal();

        let guard = take(&b).await;
        assert!(guard.is_held());
        assert!(cluster.now() <= secs(17), "{:?}", cluster.now());
        cluster.assert_no_theft();
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_answered_without_a_numeric_version_is_checked_by_a_read() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let play = Play::shows(|lease| lease["metadata"]["resourceVersion"] = Value::Null);
    cluster.on(When::verb("update").once(), play);

    sleep(secs(60)).await;

    assert!(guard.is_held(), "{:?}", guard.state());
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_a_uid_is_an_error() {
    let cluster = Cluster::new();
    cluster.put("orders", &json!({ "holderIdentity": "" }));
    cluster.on(When::verb("get"), Play::shows(|lease| lease["metadata"]["uid"] = Value::Null));
    let a = cluster.handle("a");

    let refused = a.lock("orders", wait(secs(60))).await;

    assert!(matches!(refused, Err(Error::InvalidRecord { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_a_spec_is_free() {
    let cluster = Cluster::new();
    cluster.put("orders", &Value::Null);

    let guard = take(&cluster.handle("a")).await;

    assert!(guard.is_held());
    assert!(cluster.now() < secs(1));
}
