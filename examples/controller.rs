//! A controller that reconciles only while it leads: it stops at once when it loses the lead, and rejoins.
//!
//! It counts the words of every `ConfigMap` with the label `leasehold.dev/example=controller`, from the key
//! `text` to the key `words`, and writes down the fencing token with which it did so.
//!
//! ```sh
//! cargo run --example controller                                       # in memory: two replicas, 10 s
//! cargo run --example controller -- --kubernetes --namespace default   # one replica, until Ctrl-C
//! ```
//!
//! On a cluster start it in several terminals, and give it work:
//!
//! ```sh
//! kubectl create configmap poem --from-literal=text='the fog comes on little cat feet'
//! kubectl label configmap poem leasehold.dev/example=controller
//! kubectl get configmap poem -o yaml
//! ```
//!
//! The permissions that it needs, as a Role:
//!
//! ```yaml
//! rules:
//!   - apiGroups: [coordination.k8s.io]   # for the election
//!     resources: [leases]
//!     verbs: [get, create, update, list, watch, delete]
//!   - apiGroups: [""]                    # for its work
//!     resources: [configmaps]
//!     verbs: [list, watch, get, update]
//! ```

#![expect(clippy::print_stdout, reason = "a program that talks")]

mod support;

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::PostParams,
    runtime::{Controller, controller::Action, watcher},
};
use leasehold::{DynSync, Fault, LeaderOptions, Memory, Options, Sync as _, Tenure};
use support::Backend;
use tokio::time::{sleep, timeout};

const ELECTION: &str = "leasehold-example-controller";
const LABEL: &str = "leasehold.dev/example=controller";
/// The token of the last tenure that wrote an object.
const TOKEN: &str = "leasehold.dev/example-token";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Backend::from_args()? {
        Backend::Memory(world) => in_memory(&world).await,
        cluster @ Backend::Kubernetes(_) => on_cluster(&*cluster.handle().await?).await,
    }
}

// ---- on a cluster ----

async fn on_cluster(sync: &DynSync) -> Result<(), Box<dyn Error>> {
    sync.init().await?;
    // A client of its own, so that renewals never queue behind the work.
    let client = Client::try_default().await?;
    let namespace = sync.options().namespace.as_deref().unwrap_or("default");
    let leader = sync.leader(ELECTION, LeaderOptions::default()).await?;
    println!("{} stands in `{ELECTION}`; Ctrl-C ends it", leader.id());

    tokio::select! {
        result = leader.run(|tenure| reconcile_all(Api::namespaced(client.clone(), namespace), tenure)) => result?,
        signal = stopped() => signal?,
    }
    // The work has been dropped; now somebody else may begin at once.
    leader.resign().await?;
    println!("resigned");
    Ok(())
}

/// Ctrl-C, or what a pod is ended with: as a container's first process it would otherwise be ignored.
async fn stopped() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// What a reconciliation needs besides the object.
struct Context {
    objects: Api<ConfigMap>,
    tenure: Tenure,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NotLeading(#[from] leasehold::Error),
    #[error("written with token {0}, by a later leader")]
    Superseded(u64),
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

/// Reconciles until it is dropped, which [`Leader::run`](leasehold::Leader::run) does when the lead is lost.
async fn reconcile_all(objects: Api<ConfigMap>, tenure: Tenure) {
    println!("leading, token {}", tenure.token());
    let context = Arc::new(Context { objects: objects.clone(), tenure });
    Controller::new(objects, watcher::Config::default().labels(LABEL))
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(1)), context)
        .for_each(async |done| {
            if let Err(error) = done {
                println!("{error}");
            }
        })
        .await;
}

async fn reconcile(seen: Arc<ConfigMap>, context: Arc<Context>) -> Result<Action, Failure> {
    let mut object = (*seen).clone();
    let text = object.data.as_ref().and_then(|data| data.get("text"));
    let words = text.map_or(0, |text| text.split_whitespace().count()).to_string();
    if object.data.as_ref().and_then(|data| data.get("words")) == Some(&words) {
        return Ok(Action::await_change());
    }
    // The controller runs this as a task of its own, so ask again before the write ..
    let token = context.tenure.check()?.get();
    let before = object.annotations().get(TOKEN).and_then(|token| token.parse().ok());
    if let Some(later) = before.filter(|&before| before > token) {
        return Err(Failure::Superseded(later));
    }
    object.annotations_mut().insert(TOKEN.to_owned(), token.to_string());
    object.data.get_or_insert_default().insert("words".to_owned(), words.clone());
    // .. and let the API server refuse it if somebody wrote since: the object carries its resourceVersion.
    context.objects.replace(&object.name_any(), &PostParams::default(), &object).await?;
    println!("{}: {words} words, written with token {token}", object.name_any());
    Ok(Action::await_change())
}

// ---- in memory ----

/// What stands for the cluster's objects: texts, each with the token it was counted with.
type Objects = Mutex<Vec<(&'static str, Option<u64>)>>;

/// Two replicas. The first loses its network, and gets it back; then the second resigns.
async fn in_memory(world: &Memory) -> Result<(), Box<dyn Error>> {
    let objects = Objects::default();
    let (one, two) = (world.another(Options::default())?, world.another(Options::default())?);
    let options = LeaderOptions::default().ttl(Duration::from_secs(2));
    let first = one.leader(ELECTION, options.clone().id("first")).await?;
    let second = two.leader(ELECTION, options.id("second")).await?;

    let add = |text| objects.lock().unwrap_or_else(PoisonError::into_inner).push((text, None));
    let story = async {
        add("the fog comes on little cat feet");
        sleep(Duration::from_secs(1)).await;
        println!("         the first loses its network");
        one.disturb(Some(Fault::LoseRequest));
        sleep(Duration::from_secs(3)).await;
        add("row row row your boat");
        sleep(Duration::from_secs(1)).await;
        println!("         the first has its network back");
        one.disturb(None);
        sleep(Duration::from_secs(2)).await;
        println!("         the second resigns");
        second.resign().await?;
        add("give us this day our daily bread");
        sleep(Duration::from_secs(1)).await;
        first.resign().await
    };
    let all = async {
        tokio::join!(
            first.run(|tenure| count_all("first", &objects, tenure)),
            second.run(|tenure| count_all("second", &objects, tenure)),
            story
        )
    };
    // Both end by being resigned, as told; the work itself never does.
    let (_, _, told) = timeout(Duration::from_secs(15), all).await?;
    told?;

    let objects = objects.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tokens: Vec<_> = objects.iter().filter_map(|&(_, token)| token).collect();
    if tokens.len() != 3 || !tokens.is_sorted_by(|before, after| before < after) {
        return Err(format!("three texts counted in three tenures, but: {objects:?}").into());
    }
    Ok(())
}

/// Reconciles until it is dropped. There is no `.await` between deciding and writing, so no need to ask again.
async fn count_all(me: &str, objects: &Objects, tenure: Tenure) {
    println!("{me:<8} leads, token {}", tenure.token());
    loop {
        for (text, token) in &mut *objects.lock().unwrap_or_else(PoisonError::into_inner) {
            if token.is_none() {
                *token = Some(tenure.token().get());
                println!("{me:<8} counts {} words in `{text}`", text.split_whitespace().count());
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}
