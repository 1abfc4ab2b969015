//! Sessions whose patches are refused: by the server, by a policy for one Lease, or for credentials that have ended.

use leasehold::Session;

use crate::{
    prelude::*,
    sessions::{lock, session, waiting},
};

/// How long a refusal of patches is remembered.
const REMEMBERED: Duration = secs(600);

/// A guard of `session` whose lock others join by a patch: the first write after a create replaces the record.
async fn patchable(session: &Session, name: &str) -> Guard {
    drop(lock(session, name).await);
    lock(session, name).await
}

fn patches(cluster: &Cluster, who: &str, name: &str) -> usize {
    cluster.count(|one| one.by == who && one.verb == "patch" && one.name == name)
}

fn of(name: &'static str) -> When {
    When::is(move |request| request.verb == "patch" && request.name == name)
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_is_refused_for_one_lease_concerns_no_other_lease() {
    let webhook = "admission webhook \"w.example\" denied the request: no";
    let html = "<html>Blocked by policy of example.org</html>";
    let refusals = [403, 404, 405, 409, 422].map(|code| Answer::failure(code, "", webhook));
    for refusal in refusals.into_iter().chain([Answer::text(403, html)]) {
        let cluster = Cluster::new();
        let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
        let held = [patchable(&a, "one").await, patchable(&a, "two").await];
        cluster.on(of("one"), Play::instead(refusal));

        let next = [waiting(&b, "one"), waiting(&b, "two")];
        sleep(secs(1)).await;
        assert_eq!((patches(&cluster, "b", "one"), patches(&cluster, "b", "two")), (1, 1));
        cluster.forget();
        for guard in held {
            guard.release().await.expect("a release");
        }
        assert_eq!((patches(&cluster, "a", "one"), patches(&cluster, "a", "two")), (1, 1));
        for next in next {
            let guard = next.await.expect("no wait is refused");
            cluster.forget();
            guard.release().await.expect("a release");
        }
        assert_eq!(patches(&cluster, "b", "two"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_say_nothing_of_patches() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let held = patchable(&a, "orders").await;
    let next = waiting(&b, "orders");
    held.requested().await;
    cluster.on(When::verb("patch").once(), Play::instead(Answer::unauthorized()));
    cluster.forget();

    let refused = held.release().await.unwrap_err();

    assert!(matches!(refused, Error::PermissionDenied { verb: "patch", .. }), "{refused:?}");
    assert!(next.await.unwrap().is_held(), "the release goes on");
    let updates = |one: &Request| one.by == "a" && one.verb == "update" && one.name == "orders";
    assert_eq!((patches(&cluster, "a", "orders"), cluster.count(updates)), (2, 0));
    assert!(cluster.now() < secs(6), "after a pause: {:?}", cluster.now());
}

#[tokio::test(start_paused = true)]
async fn patches_are_tried_again_after_a_while() {
    for refusal in
        [Answer::forbidden("patch", "orders"), Answer::text(405, "no"), Answer::text(501, "no")]
    {
        let cluster = Cluster::new();
        let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
        let count = || cluster.count(|one| one.by == "b" && one.verb == "patch");
        // `b` waits for the lock, gets it, and releases it.
        let turn = async |name: &'static str| {
            let held = patchable(&a, name).await;
            let next = waiting(&b, name);
            held.requested().await;
            held.release().await.expect("a release");
            next.await.expect("no wait is refused").release().await.expect("a release");
        };
        cluster.on(When::verb("patch").by("b"), Play::instead(refusal));
        turn("one").await;
        assert_eq!(count(), 1);

        turn("two").await;
        sleep(REMEMBERED - secs(60)).await;
        turn("one").await;
        assert_eq!(count(), 1, "none while the refusal is remembered");

        sleep(secs(60)).await;
        turn("two").await;
        assert_eq!(count(), 2, "it is tried again, and refused again");

        cluster.heal();
        sleep(REMEMBERED).await;
        turn("one").await;
        assert!(count() >= 4, "{}", count());
    }
}
