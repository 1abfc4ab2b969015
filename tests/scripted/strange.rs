//! Answers that are whole and well-formed, and not what was asked for.

use crate::prelude::*;

/// Another object, much newer than anything there is, and free.
fn other(namespace: &str, name: &str) -> Answer {
    Answer::object(
        200,
        &json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": namespace, "uid": "x", "resourceVersion": "900000" },
            "spec": { "holderIdentity": "" },
        }),
    )
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_object_is_no_answer() {
    for (namespace, name) in [("default", "others"), ("elsewhere", "orders")] {
        for verb in ["get", "create"] {
            let cluster = Cluster::new();
            let a = cluster.handle("a");
            let play = Play::carried_out(Reply::Is(other(namespace, name)));
            cluster.on(When::verb(verb).once(), play);

            let guard = a.lock("orders", wait(secs(60))).await;

            assert!(guard.as_ref().is_ok_and(|guard| guard.is_held()), "{verb}: {guard:?}");
            assert!(cluster.now() < secs(5), "{verb}: {:?}", cluster.now());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_answered_with_another_object_ends_nothing() {
    let cluster = Cluster::new();
    let guard = take(&cluster.handle("a")).await;
    let play = Play::carried_out(Reply::Is(other("default", "others")));
    cluster.on(When::verb("update").once(), play);

    sleep(secs(60)).await;

    assert!(guard.is_held(), "{:?}", guard.state());
}
