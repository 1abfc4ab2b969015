//! The simulated cluster: its objects, its script, its clock, and the log of requests.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::Client;
use leasehold::{Clock, Kubernetes, Options};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    answer::Answer,
    script::{Edit, Play, When},
    server::{Commit, Objects, Phase, Request},
    wire,
};

/// How long a request takes to arrive, and its answer to come back.
const LATENCY: Duration = Duration::from_millis(1);
/// From so many requests on, the client sends without a pause.
const FLOOD: usize = 20_000;

/// An API server in this process, with paused time.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    begun: Instant,
    state: Mutex<State>,
    news: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    objects: Objects,
    script: Vec<(When, Play)>,
    requests: Vec<Request>,
    /// How much longer requests, answers and events of a client take.
    far: BTreeMap<&'static str, Duration>,
}

impl Cluster {
    #[expect(clippy::disallowed_methods, reason = "the cluster's own clock")]
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            begun: Instant::now(),
            state: Mutex::default(),
            news: watch::Sender::new(()),
        }))
    }

    /// A handle of the library with its own client, like that of another process.
    pub(crate) fn handle(&self, who: &str) -> Kubernetes {
        let options = Options::default().identity(who).clock(Clock::Runtime);
        Kubernetes::new(self.client(who), options).expect("options that can be used")
    }

    /// A client of this name.
    pub(crate) fn client(&self, who: &str) -> Client {
        wire::client(self, who)
    }

    // ---- time ----

    /// The time since the cluster was created.
    pub(crate) fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Waits until that time.
    pub(crate) async fn until(&self, at: Duration) {
        sleep(at.saturating_sub(self.now())).await;
    }

    // ---- script ----

    /// Moves the client `who` away from the server: from now on each of its requests, each answer and each event of a
    /// watch takes that much longer.
    pub(crate) fn far(&self, who: &'static str, by: Duration) {
        self.state().far.insert(who, by);
    }

    /// Applies `play` to requests that match `when`, from now on. The first rule that matches a request applies.
    pub(crate) fn on(&self, when: When, play: Play) {
        self.state().script.push((when, play));
    }

    /// Removes all rules: from now on the server works.
    pub(crate) fn heal(&self) {
        self.state().script.clear();
    }

    /// Forbids these verbs on Leases to all clients, from now on.
    pub(crate) fn deny(&self, verbs: &[&'static str]) {
        self.state().objects.denied.extend(verbs);
    }

    /// Allows every verb again.
    pub(crate) fn grant_all(&self) {
        self.state().objects.denied.clear();
    }

    pub(crate) fn namespace(&self, name: &str, phase: Option<Phase>) {
        let mut state = self.state();
        match phase {
            Some(phase) => state.objects.namespaces.insert(name.into(), phase),
            None => state.objects.namespaces.remove(name),
        };
    }

    // ---- edits by hand ----

    /// The Lease, if it exists.
    pub(crate) fn lease(&self, name: &str) -> Option<Value> {
        self.state().objects.leases.get(&place(name)).cloned()
    }

    /// The holder of the Lease; empty if it is free.
    #[track_caller]
    pub(crate) fn holder(&self, name: &str) -> String {
        let lease = self.lease(name).expect("the Lease exists");
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().into()
    }

    /// Stores the Lease `name` with this `spec`, without validation.
    pub(crate) fn put(&self, name: &str, spec: &Value) -> Value {
        self.put_object(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": "default" }, "spec": spec,
        }))
    }

    pub(crate) fn put_object(&self, object: Value) -> Value {
        let at = self.now();
        let stored = self.state().objects.store(at, OPERATOR, "default", object);
        self.0.news.send_replace(());
        stored
    }

    #[track_caller]
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut lease = self.lease(name).expect("the Lease exists");
        edit(&mut lease);
        self.put_object(lease);
    }

    pub(crate) fn delete(&self, name: &str) {
        let at = self.now();
        self.state().objects.remove(at, OPERATOR, &place(name));
        self.0.news.send_replace(());
    }

    /// Restores a backup: the store as it was at `version`.
    pub(crate) fn restore(&self, version: u64) {
        let mut state = self.state();
        let objects = &mut state.objects;
        objects.commits.retain(|commit| commit.number <= version);
        let mut leases = BTreeMap::new();
        for commit in &objects.commits {
            let Some(object) = commit.after.clone().or_else(|| commit.before.clone()) else {
                continue;
            };
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            match &commit.after {
                Some(after) => leases.insert(place(name), after.clone()),
                None => leases.remove(&place(name)),
            };
        }
        objects.leases = leases;
        objects.version = version;
    }

    // ---- the log of requests ----

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Empties the log.
    pub(crate) fn forget(&self) {
        self.state().requests.clear();
    }

    /// The number of requests that match.
    pub(crate) fn count(&self, matches: impl Fn(&Request) -> bool) -> usize {
        self.state().requests.iter().filter(|request| matches(request)).count()
    }

    /// The verbs of the requests of one client, in order.
    pub(crate) fn verbs(&self, who: &str) -> Vec<&'static str> {
        self.state().requests.iter().filter(|request| request.by == who).map(|r| r.verb).collect()
    }

    /// When the last request that matches was sent.
    #[track_caller]
    pub(crate) fn sent(&self, matches: impl Fn(&Request) -> bool) -> Duration {
        let requests = self.requests();
        requests.iter().rev().find(|request| matches(request)).expect("such a request").at
    }

    pub(crate) fn commits(&self) -> Vec<Commit> {
        self.state().objects.commits.clone()
    }

    /// Checks every change of holder by a handle: the record before was free, was held by the same handle, or had
    /// not changed for the duration that it names.
    #[track_caller]
    pub(crate) fn assert_no_theft(&self) {
        for commit in self.commits().iter().filter(|commit| commit.by != OPERATOR) {
            let Some(before) = &commit.before else { continue };
            let after = commit.after.clone().unwrap_or_default();
            let holder = before["spec"]["holderIdentity"].as_str().unwrap_or_default();
            if holder.is_empty() || holder == commit.by || after["spec"]["holderIdentity"] == holder
            {
                continue;
            }
            let version = before["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let said = before["spec"]["leaseDurationSeconds"].as_u64().filter(|&said| said > 0);
            let stored = self.commits().into_iter().find(|old| old.number.to_string() == version);
            let unchanged = commit.at - stored.map_or(Duration::ZERO, |old| old.at);
            let lives = Duration::from_secs(said.unwrap_or(15));
            assert!(unchanged >= lives, "taken from {holder} after {unchanged:?}: {commit:#?}");
        }
    }

    // ---- called by `wire` ----

    pub(crate) fn arrives(&self, request: &Request) -> Play {
        let mut state = self.state();
        if state.requests.len() >= FLOOD {
            // The client sends without a pause. Drop the request, so that the test ends and fails on its counts.
            return Play::lost();
        }
        state.requests.push(request.clone());
        let rule = state.script.iter_mut().find_map(|(when, play)| {
            let taken = when.takes(request);
            taken.then(|| play.clone())
        });
        rule.unwrap_or_else(Play::as_it_is)
    }

    pub(crate) fn carry_out(&self, request: &Request, webhook: Option<&Edit>) -> Answer {
        let at = self.now();
        let mut state = self.state();
        let answer = state.objects.apply(at, request, webhook);
        drop(state);
        if request.is_write() {
            self.0.news.send_replace(());
        }
        answer
    }

    pub(crate) fn denies(&self, verb: &str) -> bool {
        self.state().objects.denied.contains(&verb)
    }

    /// How long a request of the client `who` takes to arrive, and its answer to come back.
    pub(crate) fn latency(&self, who: &str) -> Duration {
        LATENCY + self.distance(who)
    }

    /// How long an event takes to reach the client `who`.
    pub(crate) fn distance(&self, who: &str) -> Duration {
        self.state().far.get(who).copied().unwrap_or_default()
    }

    pub(crate) fn version(&self) -> u64 {
        self.state().objects.version
    }

    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.0.news.subscribe()
    }

    pub(crate) fn commits_after(&self, version: u64) -> Vec<Commit> {
        let state = self.state();
        let later = state.objects.commits.iter().filter(|commit| commit.number > version);
        later.cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the person who edits by hand.
const OPERATOR: &str = "operator";

fn place(name: &str) -> (String, String) {
    ("default".into(), name.into())
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("version", &self.version()).finish_non_exhaustive()
    }
}
