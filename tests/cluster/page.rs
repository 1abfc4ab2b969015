//! The page that the chart serves, and its button: by way of a follower, and in a browser.

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

/// Lets the pods know the Service by its name, where the cluster has no DNS; its address, once it leads to the leader.
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
async fn a_follower_passes_on_to_the_leader_that_it_shall_resign() {
    let release = Release::install(&[]).await;
    named(&release).await;
    let (leader, lives) = (release.leader().await, release.lives().await);
    let follower = lives.keys().find(|pod| **pod != leader).unwrap();
    let before = release.history.changes().len();

    let (status, told) = release.ask_to_resign(follower).await.unwrap();

    let change =
        until("another leader", async || release.history.changes().get(before).cloned()).await;
    assert_eq!(pod_of(&change.from), leader);
    let resigned = format!("{} has resigned, and is a candidate again\n", change.from);
    assert_eq!((status, told), (200, Value::String(resigned)));
    assert_ne!(pod_of(&change.to), leader);
    assert!(change.freed, "handed on, not left to expire: {change:?}");
    assert!(change.tokens.0 < change.tokens.1, "tokens grow: {change:?}");
    assert_eq!(release.lives().await, lives, "and every pod lives on");
    release.end().await;
}

/// What there is none of, of what makes a browser here.
fn missing() -> Option<&'static str> {
    ["chromium", "chromedriver"].into_iter().find(|program| {
        let asked = std::process::Command::new(program).arg("--version").output();
        !asked.is_ok_and(|answer| answer.status.success())
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn in_a_browser_the_page_names_the_leader_and_its_button_makes_another_lead() {
    if let Some(program) = missing() {
        println!("not tried: nobody opened the page, for {program} is not installed");
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

    // The second time it is a follower who serves the page.
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
    // Before the pods: it would complain of each connection that ends.
    drop(forward);
    release.end().await;
}
