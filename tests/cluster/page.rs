//! The page of the chart and its button: through a follower, and in a browser.

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use leasehold_test_support::browser::Browser;
use serde_json::{Value, json};

use crate::{
    kubectl::Forward,
    release::{NAME, Release, pod_of},
    routed::{through, to_the_leader},
    until,
};

/// Adds the name of the Service to the hosts of the pods if the cluster has no DNS. Returns its address, once it
/// leads to the leader.
async fn named(release: &Release) -> String {
    let dns: Api<Service> = Api::namespaced(release.client.clone(), "kube-system");
    if dns.get_opt("kube-dns").await.unwrap().is_none() {
        let address = to_the_leader(release).await;
        let host = format!("{NAME}.{}.svc", release.namespace);
        let alias = json!({ "ip": address, "hostnames": [host] });
        let patch = json!({ "spec": { "template": { "spec": { "hostAliases": [alias] } } } });
        release.set().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        release.rolled_out().await;
    }
    to_the_leader(release).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_follower_forwards_a_resign_request_to_the_leader() {
    let release = Release::install(&[]).await;
    named(&release).await;
    let (leader, lives) = (release.leader().await, release.lives().await);
    let follower = lives.keys().find(|pod| **pod != leader).unwrap();
    let before = release.history.changes().len();

    let (status, answer) = release.ask_to_resign(follower).await.unwrap();

    let change =
        until("another leader", async || release.history.changes().get(before).cloned()).await;
    assert_eq!(pod_of(&change.from), leader);
    let resigned = format!("{} has resigned, and is a candidate again\n", change.from);
    assert_eq!((status, answer), (200, Value::String(resigned)));
    assert_ne!(pod_of(&change.to), leader);
    assert!(change.freed, "released, not expired: {change:?}");
    assert!(change.tokens.0 < change.tokens.1, "tokens grow: {change:?}");
    assert_eq!(release.lives().await, lives, "no pod was replaced");
    release.end().await;
}

/// The first missing program of those that a browser test needs.
fn missing() -> Option<&'static str> {
    ["chromium", "chromedriver"].into_iter().find(|program| {
        let output = std::process::Command::new(program).arg("--version").output();
        !output.is_ok_and(|answer| answer.status.success())
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn in_a_browser_the_page_shows_the_leader_and_its_button_changes_the_leader() {
    if let Some(program) = missing() {
        println!("skipped: the page was not opened, because {program} is not installed");
        return;
    }
    let release = Release::install(&[]).await;
    let address = named(&release).await;
    let leader = release.leader().await;
    let forward = Forward::start(&release).await;
    let browser = Browser::start((1000, 900)).await;

    browser.open(&forward.url).await;
    browser.until("return document.body.classList.contains('led')").await;
    browser.until("return document.querySelectorAll('#members li .id').length === 3").await;
    assert_eq!(pod_of(&browser.text("#leader").await), leader);
    assert_eq!(pod_of(&browser.text("#me").await), leader, "the Service leads to the leader");

    // The second time a follower serves the page.
    for _ in 0..2 {
        let before = release.history.changes().len();
        browser.until("return !document.querySelector('#resign button').disabled").await;
        browser.click("#resign button").await;
        let change =
            until("another leader", async || release.history.changes().get(before).cloned()).await;
        let shown = format!(
            "return document.getElementById('leader').textContent === {}",
            json!(change.to)
        );
        browser.until(&shown).await;
        browser.until("return document.getElementById('answer').textContent !== 'asked …'").await;
        let answered = browser.text("#answer").await;
        assert_eq!(answered, format!("{} has resigned, and is a candidate again", change.from));
        until("the Service to reach the next leader", async || {
            through(&address).await.filter(|pod| *pod == pod_of(&change.to))
        })
        .await;
    }

    assert_eq!(browser.complaints().await, Vec::<Value>::new());
    browser.shoot("page-chart").await;
    // Before the pods end, because kubectl reports each connection that breaks.
    drop(forward);
    release.end().await;
}
