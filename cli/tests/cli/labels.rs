//! `--label` and `--annotation` of `lock` and `elect`.

use crate::Fixture;

/// The label or annotation `key` of the Lease `orders`.
async fn written(fixture: &Fixture, key: &str) -> Option<String> {
    let metadata = fixture.leases().get("orders").await.unwrap().metadata;
    let maps = [metadata.labels, metadata.annotations];
    maps.into_iter().flatten().find_map(|map| map.get(key).cloned())
}

#[tokio::test]
async fn a_new_lease_gets_the_labels_and_annotations_of_the_command_line() {
    let fixture = Fixture::new().await;
    let options = [
        "--label",
        "team=shop",
        "--label",
        "example.org/tier=1,stage=",
        "--annotation",
        "note=a=b, c",
    ];

    let ended =
        fixture.leasehold([&["lock"], &options[..], &["orders", "true"]].concat()).end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for (key, value) in
        [("team", "shop"), ("example.org/tier", "1"), ("stage", ""), ("note", "a=b, c")]
    {
        assert_eq!(written(&fixture, key).await.as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn the_environment_contains_several_labels_and_annotations() {
    let fixture = Fixture::new().await;
    let program = fixture.leasehold(["elect", "orders", "true"]);
    let program = program
        .env("LEASEHOLD_LABELS", "team=shop,example.org/tier=1")
        .env("LEASEHOLD_ANNOTATIONS", "note=a, b\nother=c");

    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for (key, value) in
        [("team", "shop"), ("example.org/tier", "1"), ("note", "a, b"), ("other", "c")]
    {
        assert_eq!(written(&fixture, key).await.as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn an_invalid_label_or_annotation_is_a_usage_error() {
    let fixture = Fixture::new().await;
    for (option, value, cause) in [
        ("--label", "team", "KEY=VALUE"),
        ("--label", "team=not a value", "the value of label \"team\""),
        ("--label", "leasehold.dev/kind=lock", "this crate alone"),
        ("--annotation", "no key=x", "app.kubernetes.io/name"),
    ] {
        let ended = fixture.leasehold(["lock", option, value, "orders", "true"]).end().await;

        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains(cause), "{ended:?}");
    }
    assert!(fixture.leases().get_opt("orders").await.unwrap().is_none());
}
