//! A controller that reconciles only while it leads: it counts the words of each `ConfigMap` with the label
//! `leasehold.dev/example=controller`. Run `cargo run --example controller` in several terminals, then `kubectl create
//! configmap poem --from-literal=text='the fog comes'` and `kubectl label configmap poem LABEL`. The Role it needs:
//!
//! ```yaml
//! rules:
//!   - { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update, list, watch, delete] }
//!   - { apiGroups: [""], resources: [configmaps], verbs: [list, watch, get, update] }
//! ```
#![expect(clippy::print_stdout, reason = "an example reports on its terminal")]

use std::{error::Error, sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{Controller, controller::Action, watcher};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use leasehold::{Kubernetes, LeaderOptions, Options, Sync as _, Tenure};
use tokio::signal::unix::{SignalKind, signal};

const ELECTION: &str = "leasehold-example-controller";
const TOKEN: &str = "leasehold.dev/example-token"; // of the tenure that wrote the object last

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sync = Kubernetes::connect(Options::default()).await?;
    let client = Client::try_default().await?; // a second one, so that renewals never queue behind the work
    let leader = sync.leader(ELECTION, LeaderOptions::default()).await?;
    println!("{} is a candidate in `{ELECTION}`", leader.candidate_id());
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        end = leader.run(|tenure| control(Api::default_namespaced(client.clone()), tenure)) => end?,
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    Ok(leader.resign().await?) // the work has been dropped: another process may lead at once
}

/// Runs until it is dropped, which `Leader::run` does when the lead is lost.
async fn control(objects: Api<ConfigMap>, tenure: Tenure) {
    println!("leads with token {}", tenure.token());
    let context = Arc::new((objects.clone(), tenure));
    let labelled = watcher::Config::default().labels("leasehold.dev/example=controller");
    Controller::new(objects, labelled)
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(1)), context)
        .for_each(async |done| drop(done.inspect_err(|error| println!("{error}"))))
        .await;
}

type Context = (Api<ConfigMap>, Tenure);
async fn reconcile(seen: Arc<ConfigMap>, context: Arc<Context>) -> Result<Action, Failure> {
    let ((objects, tenure), mut object) = (&*context, (*seen).clone());
    let token = tenure.check()?.get(); // before each write: does this process still lead?
    let before = object.annotations_mut().insert(TOKEN.into(), token.to_string());
    let later = before.is_some_and(|it| it.parse().is_ok_and(|before: u64| before > token));
    let data = object.data.get_or_insert_default();
    let words = data.get("text").map_or(0, |text| text.split_whitespace().count()).to_string();
    if later || data.insert("words".into(), words.clone()) == Some(words) {
        return Ok(Action::await_change()); // a later leader wrote the object, or it is up to date
    }
    // Conditional on the resourceVersion in the object: refused if the object has changed since.
    objects.replace(&object.name_any(), &PostParams::default(), &object).await?;
    Ok(Action::await_change())
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum Failure {
    NotLeading(#[from] leasehold::Error),
    Kube(#[from] kube::Error),
}
