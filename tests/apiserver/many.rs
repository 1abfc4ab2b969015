//! One process that waits for many locks.

use std::{
    collections::HashSet,
    fs::DirEntry,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, future::try_join_all, stream};
use leasehold::{Guard, Kubernetes, LockOptions, Options, Sync as _};

use leasehold_test_support::{Audited, Rule, processes::Process};

use super::{ADMIN, Place, brief};

const ROLE: &str = "LEASEHOLD_TEST_WAITER";
const WAITS: usize = 1000;
/// How many requests the process that holds the locks sends at a time.
const AT_ONCE: usize = 32;

/// Not a test: the process that waits for every lock, which the test below starts. Prints `got` when it has them all.
#[tokio::test]
async fn waiter() {
    let Ok(namespace) = std::env::var(ROLE) else { return };
    let sync = Kubernetes::connect(Options::default().namespace(namespace)).await.unwrap();
    let names: Vec<_> = (0..WAITS).map(name).collect();
    let waits = names.iter().map(|name| sync.lock(name, LockOptions::default()));
    let _guards = try_join_all(waits).await.unwrap();
    println!("\nwaiter: got");
    for line in std::io::stdin().lines() {
        let _ = line.unwrap();
    }
}

fn name(number: usize) -> String {
    format!("lock-{number}")
}

/// The waiter in a process of its own, which is killed when this is dropped.
struct Waiter(Child);

impl Waiter {
    fn start(place: &Place) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "many::waiter", "--nocapture"])
            .env(ROLE, &place.namespace)
            .env("KUBECONFIG", place.plane.kubeconfig(ADMIN))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Its TCP connections.
    fn connections(&self) -> usize {
        let process = Process::find(self.0.id()).unwrap();
        let table = std::fs::read_to_string(process.file("net/tcp")).unwrap();
        let tcp: HashSet<_> =
            table.lines().filter_map(|line| line.split_whitespace().nth(9)).collect();
        let files = std::fs::read_dir(process.file("fd")).unwrap();
        let is_tcp = |file: &DirEntry| {
            let link = std::fs::read_link(file.path()).unwrap_or_default();
            let link = link.to_string_lossy();
            let inode = link.strip_prefix("socket:[").and_then(|link| link.strip_suffix(']'));
            inode.is_some_and(|inode| tcp.contains(inode))
        };
        files.flatten().filter(is_tcp).count()
    }

    /// A field of `/proc/PID/status`, in MiB.
    fn memory(&self, field: &str) -> u64 {
        let process = Process::find(self.0.id()).unwrap();
        let size = process.field(field).unwrap().trim_end_matches(" kB");
        size.parse::<u64>().unwrap() / 1024
    }

    /// Completes when it has all locks. Returns its output, which must stay open.
    async fn got(&mut self) -> impl Sized + use<> {
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let got = move || (lines.any(|line| line.unwrap().trim() == "waiter: got"), lines);
        let (got, output) = tokio::task::spawn_blocking(got).await.unwrap();
        assert!(got, "the waiter ended");
        output
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most connections of `waiter` in a time, looked at ten times a second.
async fn most_connections(waiter: &Waiter, time: Duration) -> usize {
    let begun = Instant::now();
    let mut most = 0;
    while begun.elapsed() < time {
        most = most.max(waiter.connections());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement of one minute, for a machine that does nothing else"]
async fn a_thousand_waits_of_one_process_need_few_connections_and_little_memory() {
    let place = Place::new().await;
    let holder = place.handle();
    let held: Vec<Guard> = stream::iter((0..WAITS).map(name))
        .map(|name| {
            let holder = holder.clone();
            async move { holder.lock(&name, LockOptions::default()).await.unwrap() }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut waiter = Waiter::start(&place);
    let at_the_start = most_connections(&waiter, Duration::from_secs(10)).await;
    let while_waiting = most_connections(&waiter, Duration::from_secs(40)).await;
    let memory = waiter.memory("VmRSS");
    let requests = place.requests();
    assert!(requests["get"] >= WAITS as u64, "{requests:?}");

    let begun = Instant::now();
    let releases = stream::iter(held).map(Guard::release).buffer_unordered(AT_ONCE);
    let releasing = async { (releases.collect::<Vec<_>>().await, begun.elapsed()) };
    let ((results, all_released), _output) = tokio::join!(releasing, waiter.got());
    let took = begun.elapsed();
    let afterwards = most_connections(&waiter, Duration::from_secs(5)).await;

    println!(
        "connections: {at_the_start} at the start, {while_waiting} while waiting, {afterwards} afterwards; \
         memory: {memory} MiB while waiting, {} MiB at most; released in {all_released:?}, handed over in {took:?}; requests: {requests:?}",
        waiter.memory("VmHWM"),
    );
    assert!(results.iter().all(Result::is_ok));
    assert!(while_waiting <= 40, "{while_waiting} connections while waiting");
    assert!(memory <= 60, "{memory} MiB while waiting");
    assert!(took <= Duration::from_secs(5), "handed over in {took:?}");
}

/// Six locks that `other` holds and `user` waits for. Returns once all are handed over.
async fn hand_over_six(place: &Place, user: &str) {
    let (waiter, other) = (place.handle_of(user, place.options()), place.handle());
    let names: Vec<_> = (0..6).map(name).collect();
    let mut held = Vec::new();
    for name in &names {
        held.push(other.lock(name, brief()).await.unwrap());
    }
    let waits = names.iter().map(|name| waiter.lock(name, brief()));
    let release = async {
        place.until_audited(user, "watch").await;
        try_join_all(held.into_iter().map(Guard::release)).await.unwrap();
    };
    let (guards, ()) = tokio::join!(try_join_all(waits), release);
    assert_eq!(guards.unwrap().len(), names.len());
}

#[tokio::test]
async fn a_role_for_single_names_is_enough_for_more_names_than_have_a_watch_of_their_own() {
    let place = Place::new().await;
    let names: Vec<_> = (0..6).map(name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let verbs = ["get", "update", "list", "watch"];
    let rules = [Rule::leases(&["create"]), Rule::leases(&verbs).named(&names)];
    place.plane.allow("bob", &place.namespace, &rules).await;

    hand_over_six(&place, "bob").await;
}

#[tokio::test]
async fn names_beyond_the_fourth_share_one_watch_of_the_namespace() {
    let place = Place::new().await;
    let verbs = ["get", "create", "update", "list", "watch"];
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&verbs)]).await;

    hand_over_six(&place, "alice").await;

    let of_alice =
        |request: &Audited| request.user == "alice" && request.namespace == place.namespace;
    let requests = place.plane.audit_of(of_alice);
    assert!(requests["watch"] <= 5, "{requests:?}");
}
