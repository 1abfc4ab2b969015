//! What takes longer than an attempt, each time: answers, handshakes, a credential plugin, a webhook. No lock is lost, and
//! a new one is acquired.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, api::DeleteParams, api::PostParams};
use leasehold::{Guard, Kubernetes, LockOptions, Sync as _};
use leasehold_test_support::{ADMIN, Link, Way};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};

use super::{Duration, Place, credentials::Plugin};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two renewals of the default timing, and some more.
const A_WHILE: Duration = Duration::from_secs(16);

/// Acquires, holds for a while, releases, and acquires once more.
async fn use_lock(sync: &Kubernetes) {
    let held = acquire(sync).await;
    hold_on(&held).await;
    held.release().await.unwrap();
    acquire(sync).await.release().await.unwrap();
}

async fn acquire(sync: &Kubernetes) -> Guard {
    let wait = LockOptions::default().wait(Duration::from_secs(60));
    sync.lock("orders", wait).await.unwrap()
}

async fn hold_on(held: &Guard) {
    let lost = tokio::time::timeout(A_WHILE, held.lost()).await;
    assert!(lost.is_err(), "lost: {lost:?}");
}

#[tokio::test]
async fn a_lock_lives_with_answers_that_take_longer_than_an_attempt() {
    let place = Place::new().await;
    let (proxy, config) = place.behind_proxy().await;
    proxy.set(Link { requests: Way::Open, replies: Way::Slow(millis(1600)) });

    use_lock(&Kubernetes::from_config(config, place.options()).unwrap()).await;
}

#[tokio::test]
async fn a_lock_lives_with_connections_that_take_seconds_and_never_last() {
    let place = Place::new().await;
    let (proxy, config) = place.behind_proxy().await;
    let sync = Kubernetes::from_config(config, place.options()).unwrap();
    let held = acquire(&sync).await;

    // Two pieces of a handshake come from the server, and then the answer.
    proxy.set(Link { requests: Way::Open, replies: Way::Slow(millis(1000)) });
    for _ in 0..4 {
        proxy.reset();
        sleep(Duration::from_secs(6)).await;
        assert!(held.is_held());
    }

    held.release().await.unwrap();
}

#[tokio::test]
async fn a_lock_lives_with_a_credential_plugin_that_takes_seconds() {
    let place = Place::new().await;
    let mut config = place.plane.config(ADMIN);
    let token = config.auth_info.token.take().expect("a token of the test");
    // The client asks again when half of such a short life is over.
    let plugin = Plugin::new("sleep 2.5", 6);
    plugin.answer(&json!({ "token": token.expose_secret(), "expirationTimestamp": "@END@" }));
    plugin.set(&mut config);
    let sync = Kubernetes::from_config(config, place.options()).unwrap();
    sync.authenticate().await.unwrap();
    assert_eq!(plugin.calls(), 1);

    use_lock(&sync).await;

    assert!((3..=8).contains(&plugin.calls()), "{} calls of the plugin", plugin.calls());
    assert!(!plugin.overlapped(), "one call at a time");
}

#[tokio::test]
async fn a_lock_lives_with_a_webhook_that_times_out() {
    let place = Place::new().await;
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hooks: Api<ValidatingWebhookConfiguration> = Api::all(place.plane.client(ADMIN));
    let name = format!("slow-{}", place.namespace);
    let hook = json!({
        "metadata": { "name": name },
        "webhooks": [{
            "name": "slow.leasehold.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "timeoutSeconds": 3, "failurePolicy": "Ignore",
            "clientConfig": { "url": format!("https://{}/", silent.local_addr().unwrap()) },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": place.namespace } },
            "rules": [{
                "apiGroups": ["coordination.k8s.io"], "apiVersions": ["*"], "resources": ["leases"],
                "operations": ["CREATE", "UPDATE"],
            }],
        }],
    });
    hooks.create(&PostParams::default(), &serde_json::from_value(hook).unwrap()).await.unwrap();
    // The server reads its webhooks from a watch.
    sleep(Duration::from_secs(3)).await;

    use_lock(&place.handle()).await;

    hooks.delete(&name, &DeleteParams::default()).await.unwrap();
}
