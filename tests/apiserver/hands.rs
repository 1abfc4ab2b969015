//! Changes of a Lease by others: by hand, and by leader electors that follow the rules of client-go.

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use kube::api::{DeleteParams, PostParams};
use leasehold::{
    ElectEvent, LeaderOptions, ListMembersOptions, LockOptions, Loss, Sync as _, WatchElectOptions,
};
use serde_json::json;

use super::{BRIEF, Place, brief};

fn spec(lease: &mut k8s_openapi::api::coordination::v1::Lease) -> &mut LeaseSpec {
    lease.spec.get_or_insert_default()
}

#[tokio::test]
async fn after_a_deletion_the_holder_has_lost_before_a_waiter_acquires() {
    let place = Place::new().await;
    let (a, b) = (place.handle(), place.handle());
    let held = a.lock("orders", brief()).await.unwrap();
    let waiting =
        tokio::spawn(async move { b.lock("orders", brief()).await.map(|guard| (guard, b)) });
    place.until_requested("watch").await;

    place.leases().delete("orders", &DeleteParams::default()).await.unwrap();
    let (successor, _b) = waiting.await.unwrap().unwrap();

    assert!(!held.is_held());
    assert_eq!(held.lost().await, Loss::Deleted);
    assert!(successor.token() > held.token());
}

#[tokio::test]
async fn a_lease_that_was_deleted_and_created_again_is_a_different_lease() {
    let place = Place::new().await;
    let held = place.handle().lock("orders", brief()).await.unwrap();

    let mut copy = place.leases().get("orders").await.unwrap();
    place.leases().delete("orders", &DeleteParams::default()).await.unwrap();
    copy.metadata.uid = None;
    copy.metadata.resource_version = None;
    copy.metadata.managed_fields = None;
    place.leases().create(&PostParams::default(), &copy).await.unwrap();

    assert_eq!(held.lost().await, Loss::Deleted);
}

#[tokio::test]
async fn a_holder_loses_when_the_holder_field_is_edited() {
    let place = Place::new().await;
    let held = place.handle().lock("orders", brief()).await.unwrap();

    place.edit("orders", |lease| spec(lease).holder_identity = Some("other".into())).await;

    assert_eq!(held.lost().await, Loss::Taken);
    let lease = place.leases().get("orders").await.unwrap();
    assert_eq!(
        lease.spec.unwrap().holder_identity.as_deref(),
        Some("other"),
        "the record of the other holder stays unchanged"
    );
}

#[tokio::test]
async fn editing_the_duration_ends_the_tenure() {
    let place = Place::new().await;
    let held = place.handle().lock("orders", brief()).await.unwrap();

    place.edit("orders", |lease| spec(lease).lease_duration_seconds = Some(1)).await;

    assert_eq!(held.lost().await, Loss::Altered);
}

#[tokio::test]
async fn labels_and_annotations_of_others_are_kept_and_do_no_harm() {
    let place = Place::new().await;
    let a = place.handle();
    let held = a.lock("orders", brief()).await.unwrap();
    let before = place.leases().get("orders").await.unwrap().spec.unwrap().renew_time;

    place
        .edit("orders", |lease| {
            lease.metadata.labels.get_or_insert_default().insert("team".into(), "shop".into());
            lease.metadata.annotations.get_or_insert_default().insert("note".into(), "keep".into());
        })
        .await;
    place.until("a renewal", |lease| lease.spec.unwrap().renew_time > before).await;
    assert!(held.is_held());
    held.release().await.unwrap();

    let lease = place.leases().get("orders").await.unwrap();
    assert_eq!(lease.metadata.labels.unwrap()["team"], "shop");
    assert_eq!(lease.metadata.annotations.unwrap()["note"], "keep");
}

#[tokio::test]
async fn a_lease_released_by_another_elector_is_free_at_once() {
    for holder in [Some(String::new()), None] {
        let place = Place::new().await;
        place
            .foreign(
                "orders",
                json!({ "holderIdentity": "client-go", "leaseDurationSeconds": 3600 }),
            )
            .await;
        let a = place.handle();
        let waiting = tokio::spawn(async move {
            a.lock("orders", LockOptions::default()).await.map(|guard| (guard, a))
        });
        place.until_requested("watch").await;

        place
            .edit("orders", |lease| {
                spec(lease).holder_identity.clone_from(&holder);
                spec(lease).lease_duration_seconds = Some(1);
            })
            .await;

        assert!(waiting.await.unwrap().unwrap().0.is_held());
    }
}

#[tokio::test]
async fn a_lease_of_another_elector_is_taken_only_after_its_own_duration() {
    let place = Place::new().await;
    place
        .foreign("orders", json!({ "holderIdentity": "client-go", "leaseDurationSeconds": 3 }))
        .await;
    let (a, asked) = (place.handle(), std::time::Instant::now());

    let guard = a
        .lock("orders", LockOptions::default().ttl(std::time::Duration::from_secs(1)))
        .await
        .unwrap();

    assert!(asked.elapsed() >= std::time::Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(guard.is_held());
    let lease = place.leases().get("orders").await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
}

#[tokio::test]
async fn a_lease_that_another_elector_renews_is_never_taken() {
    let place = Place::new().await;
    place
        .foreign("orders", json!({ "holderIdentity": "client-go", "leaseDurationSeconds": 1 }))
        .await;
    let a = place.handle();
    let waiting = a.lock("orders", brief().wait(BRIEF * 2));
    let renewing = async {
        for n in 0.. {
            place.edit("orders", |lease| spec(lease).lease_transitions = Some(n)).await;
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        }
    };

    let busy = tokio::select! { busy = waiting => busy, () = renewing => unreachable!() };

    let leasehold::Error::Timeout { holder, .. } = busy.unwrap_err() else {
        panic!("not a timeout")
    };
    assert_eq!(holder, "client-go");
}

#[tokio::test]
async fn edits_before_the_first_renewal_show_no_other_token_and_no_second_election() {
    let place = Place::new().await;
    let (a, b) = (place.handle(), place.handle());
    let mut events = b.watch_elect(WatchElectOptions::default()).await.unwrap();
    place.until_requested("watch").await;
    let leader = a.leader("billing", LeaderOptions::default()).await.unwrap();
    let token = leader.elected().await.unwrap().keep().token();

    for team in ["blue", "red"] {
        let labels = |lease: &mut k8s_openapi::api::coordination::v1::Lease| {
            lease.metadata.labels.get_or_insert_default().insert("team".into(), team.into());
        };
        place.edit("billing", labels).await;
    }
    let listed = b.list_members(ListMembersOptions::default()).await.unwrap();
    leader.resign().await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = tokio::time::timeout(BRIEF * 20, events.next()).await;
        seen.extend(event.unwrap_or_else(|_| panic!("only {seen:?}")));
    }
    let events = seen;

    assert_eq!(listed[0].token, None, "the version that a list shows is that of an edit");
    let [
        ElectEvent::Joined(joined),
        ElectEvent::Elected(elected),
        ElectEvent::Lost(lost),
        ElectEvent::Left(_),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!([joined, elected, lost].map(|member| member.token), [Some(token); 3], "{events:?}");
}
