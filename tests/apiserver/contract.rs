//! Basic behaviour on real Leases: requests, names, invalid input, a missing server.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use leasehold::{DynSync, Error, Kubernetes, LockOptions, Options, Sync as _};
use leasehold_test_support::ADMIN;
use serde_json::json;

use super::{Place, brief};

#[tokio::test]
async fn locking_and_releasing_a_free_known_record_takes_two_writes() {
    let place = Place::new().await;
    let a = place.handle();
    a.lock("orders", LockOptions::default()).await.unwrap().release().await.unwrap();
    let before = place.requests();

    a.lock("orders", LockOptions::default()).await.unwrap().release().await.unwrap();

    assert_eq!(
        leasehold_test_support::since(&before, &place.requests()),
        [("update".to_owned(), 2)].into()
    );
}

#[tokio::test]
async fn a_lock_is_a_lease_of_the_same_name_or_a_slug_with_the_name_in_an_annotation() {
    let place = Place::new().await;
    let a = place.handle();
    let _plain = a.lock("orders", brief()).await.unwrap();
    let _slugged = a.lock("jobs/nightly", brief()).await.unwrap();

    let names = place.names().await;
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"orders".to_owned()), "{names:?}");
    let slugged = names.iter().find(|name| name.starts_with("jobs-nightly-")).unwrap();
    let lease = place.leases().get(slugged).await.unwrap();
    assert_eq!(lease.metadata.annotations.unwrap()["leasehold.dev/name"], "jobs/nightly");
}

#[tokio::test]
async fn invalid_input_is_an_error_and_creates_no_lease() {
    let place = Place::new().await;
    let a = place.handle();
    for name in ["", &"x".repeat(254), "a\0b", " a"] {
        assert!(
            matches!(a.lock(name, LockOptions::default()).await, Err(Error::Invalid { .. })),
            "{name:?}"
        );
    }
    for ttl in [Duration::ZERO, Duration::from_secs(315_360_000)] {
        assert!(matches!(
            a.lock("orders", LockOptions::default().ttl(ttl)).await,
            Err(Error::Invalid { .. })
        ));
    }
    assert_eq!(place.names().await, [""; 0]);
}

/// The library takes a Lease for missing only if the details of a 404 name the Lease.
#[tokio::test]
async fn a_404_of_an_api_server_names_the_missing_lease_or_namespace() {
    let place = Place::new().await;
    let leases = place.leases();
    let merge = Patch::Merge(json!({ "spec": {} }));
    let test = json!([{ "op": "test", "path": "/metadata/uid", "value": "u" }]);
    let test = Patch::Json::<()>(serde_json::from_value(test).unwrap());
    let absent: Api<Lease> = Api::namespaced(place.plane.client(ADMIN), "absent");
    let new = Lease {
        metadata: ObjectMeta { name: Some("orders".into()), ..ObjectMeta::default() },
        spec: None,
    };
    let failures = [
        ("get", leases.get("orders").await.err()),
        ("patch", leases.patch("orders", &PatchParams::default(), &merge).await.err()),
        ("patch", leases.patch("orders", &PatchParams::default(), &test).await.err()),
        ("delete", leases.delete("orders", &DeleteParams::default()).await.err()),
        ("get", absent.get("orders").await.err()),
        ("create", absent.create(&PostParams::default(), &new).await.err()),
    ];

    for (verb, failure) in failures {
        let Some(kube::Error::Api(status)) = failure else { panic!("{verb}: {failure:?}") };
        let details = status.details.as_ref().expect("details");
        let named = (status.code, details.kind.as_str(), details.name.as_str());
        let expected = match verb {
            "create" => (404, "namespaces", "absent"),
            _ => (404, "leases", "orders"),
        };
        assert_eq!(named, expected, "{verb}: {status:?}");
    }
}

#[tokio::test]
async fn a_missing_server_is_unavailable_and_the_error_has_the_cause() {
    let place = Place::new().await;
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = place.options().nodes([format!("https://{unused}")]);
    let handle = place.handle_of(crate::ADMIN, options);

    for error in [
        handle.init().await.unwrap_err(),
        handle.lock("orders", brief().try_once()).await.unwrap_err(),
    ] {
        let Error::Unavailable { source, .. } = &error else { panic!("{error:?}") };
        assert!(error.is_transient());
        let mut causes =
            std::iter::successors(Some(&**source as &dyn std::error::Error), |cause| {
                cause.source()
            });
        assert!(causes.any(|cause| cause.to_string().contains("refused")), "{error:?}");
    }
}

#[tokio::test]
async fn a_node_that_is_not_a_url_is_invalid() {
    let place = Place::new().await;
    for node in ["", "not a url", "ftp://x", "https://", "/just/a/path"] {
        let refused = Kubernetes::from_config(
            place.plane.config(crate::ADMIN),
            place.options().nodes([node]),
        );
        assert!(matches!(refused, Err(Error::Invalid { what: "node", .. })), "{node:?}");
    }
    let client = place.plane.client(crate::ADMIN);
    assert!(Kubernetes::new(client, Options::default().nodes(["https://127.0.0.1"])).is_err());
}

#[tokio::test]
async fn a_handle_as_a_trait_object_shows_backend_namespace_and_identity() {
    let place = Place::new().await;
    let dynamic: Box<DynSync> =
        Box::new(place.handle_of(crate::ADMIN, place.options().identity("web-1")));
    assert_eq!(dynamic.backend(), "kubernetes");
    assert_eq!(dynamic.to_string(), format!("kubernetes ({}, web-1)", place.namespace));
    assert_eq!(dynamic.options().namespace.as_deref(), Some(&*place.namespace));
}
