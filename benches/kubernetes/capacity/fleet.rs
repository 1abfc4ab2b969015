//! Processes that are simulated: each is a handle or a session with a client of its own.
//!
//! The processes of a fleet run on a runtime of their own, and end with it as if they had crashed: they send no request
//! at their end.

use std::sync::Arc;

use futures::{StreamExt as _, future::join_all, stream};
use leasehold::{
    DynSync, Guard, Kubernetes, Leader, LeaderOptions, LockOptions, Options, SessionOptions, Status,
};
use leasehold_test_support::{Rule, USERS};
use tokio::{runtime::Runtime, task::JoinHandle};

use super::super::{ADMIN, Bench};

/// The user of the processes that are counted. The others of a fleet, such as the holder of a lock that is waited for,
/// are admins.
pub(super) const USER: &str = USERS[0];
/// How many processes of a fleet start at a time, and how many calls of a process are under way.
const IN_FLIGHT: usize = 16;

/// How processes lock and compete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A handle without a session: one Lease for each lock, renewed by itself.
    Alone,
    Session,
}

impl Mode {
    pub(super) const ALL: [Self; 2] = [Self::Alone, Self::Session];

    pub(super) const fn processes(self) -> &'static str {
        match self {
            Self::Alone => "handles without a session",
            Self::Session => "sessions",
        }
    }
}

/// One process.
pub(super) type Process = Arc<DynSync>;

/// See the [module](self).
pub(super) struct Fleet {
    pub(super) namespaces: Vec<String>,
    /// How many watches with a selector see each write without being shown it.
    pub(super) passing: usize,
    /// How many watches are shown each renewal of a leader.
    pub(super) shown: usize,
    pub(super) processes: Vec<Process>,
    pub(super) leaders: Vec<Leader>,
    pub(super) guards: Vec<Guard>,
    pub(super) waiting: Vec<JoinHandle<Guard>>,
    runtime: Option<Runtime>,
}

impl Fleet {
    /// No processes, in new namespaces.
    pub(super) async fn new(bench: &Bench, namespaces: usize) -> Self {
        let rule = Rule::leases(&["create", "get", "list", "watch", "update", "patch", "delete"]);
        let mut names = Vec::new();
        for _ in 0..namespaces {
            let namespace = bench.plane.namespace().await;
            bench.plane.allow(USER, &namespace, &[rule]).await;
            names.push(namespace);
        }
        Self::within(names)
    }

    /// No processes, in the namespaces of another fleet.
    pub(super) fn within(namespaces: Vec<String>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self {
            namespaces,
            passing: 0,
            shown: 0,
            processes: Vec::new(),
            leaders: Vec::new(),
            guards: Vec::new(),
            waiting: Vec::new(),
            runtime: Some(runtime),
        }
    }

    /// Processes without locks, spread over the namespaces.
    pub(super) async fn idle(bench: &Bench, mode: Mode, namespaces: usize, count: usize) -> Self {
        let mut fleet = Self::new(bench, namespaces).await;
        fleet.open(bench, USER, mode, count).await;
        fleet
    }

    /// Elections with three candidates each, every one of another process.
    pub(super) async fn elections(bench: &Bench, mode: Mode, elections: usize) -> Self {
        let mut fleet = Self::idle(bench, mode, 1, elections * 3).await;
        let candidates = fleet.processes.clone().into_iter().enumerate();
        let candidates = candidates.map(|(number, process)| (process, number % elections));
        fleet.compete(candidates.collect()).await;
        fleet.shown = if mode == Mode::Alone { 2 } else { 0 };
        fleet
    }

    /// Three processes that are all candidates in all elections.
    pub(super) async fn shared_elections(bench: &Bench, mode: Mode, elections: usize) -> Self {
        let mut fleet = Self::idle(bench, mode, 1, 3).await;
        for process in fleet.processes.clone() {
            let candidates = (0..elections).map(|number| (Arc::clone(&process), number));
            fleet.compete(candidates.collect()).await;
        }
        fleet
    }

    /// One process that holds locks.
    pub(super) async fn holder(bench: &Bench, mode: Mode, locks: usize) -> Self {
        let mut fleet = Self::idle(bench, mode, 1, 1).await;
        fleet.guards = fleet.lock(&fleet.processes[0], locks).await;
        fleet
    }

    /// One process that waits for locks, which a process of an admin holds.
    pub(super) async fn waiter(bench: &Bench, mode: Mode, locks: usize) -> Self {
        let mut fleet = Self::new(bench, 1).await;
        fleet.open(bench, ADMIN, mode, 1).await;
        fleet.guards = fleet.lock(&fleet.processes[0], locks).await;
        fleet.open(bench, USER, mode, 1).await;
        let names: Vec<_> = (0..locks).map(lock_name).collect();
        fleet.wait(names.into_iter().map(|name| (1, name)).collect());
        fleet
    }

    /// Processes that wait for one lock, which a process of an admin holds.
    pub(super) async fn queue(bench: &Bench, mode: Mode, waiters: usize) -> Self {
        let mut fleet = Self::new(bench, 1).await;
        fleet.open(bench, ADMIN, mode, 1).await;
        fleet.guards = fleet.lock(&fleet.processes[0], 1).await;
        fleet.open(bench, USER, mode, waiters).await;
        fleet.wait((1..=waiters).map(|waiter| (waiter, lock_name(0))).collect());
        fleet
    }

    /// Starts processes, spread over the namespaces.
    pub(super) async fn open(&mut self, bench: &Bench, user: &str, mode: Mode, count: usize) {
        let open = |number: usize| {
            let namespace = self.namespaces[number % self.namespaces.len()].clone();
            let config = bench.plane.config(user);
            self.spawn(async move {
                let options = Options::default().namespace(namespace);
                let handle = Kubernetes::from_config(config, options).unwrap();
                match mode {
                    Mode::Alone => Arc::new(handle) as Process,
                    Mode::Session => {
                        Arc::new(handle.session(SessionOptions::default()).await.unwrap())
                    }
                }
            })
        };
        let opened = stream::iter(0..count).map(open).buffered(IN_FLIGHT);
        let opened: Vec<_> = opened.map(Result::unwrap).collect().await;
        self.processes.extend(opened);
        if mode == Mode::Session {
            self.passing += count / self.namespaces.len();
        }
    }

    /// Makes processes candidates, each in the election of this number.
    async fn compete(&mut self, candidates: Vec<(Process, usize)>) {
        let compete = |(process, number): (Process, usize)| {
            self.spawn(async move {
                let name = format!("election-{number}");
                process.leader(&name, LeaderOptions::default()).await.unwrap()
            })
        };
        let leaders = stream::iter(candidates).map(compete).buffered(IN_FLIGHT);
        let leaders: Vec<_> = leaders.map(Result::unwrap).collect().await;
        self.leaders.extend(leaders);
    }

    /// Locks names that no other process has.
    pub(super) async fn lock(&self, process: &Process, locks: usize) -> Vec<Guard> {
        let lock = |number: usize| {
            let process = Arc::clone(process);
            self.spawn(async move {
                process.lock(&lock_name(number), LockOptions::default()).await.unwrap()
            })
        };
        let guards = stream::iter(0..locks).map(lock).buffered(IN_FLIGHT);
        guards.map(Result::unwrap).collect().await
    }

    /// Makes processes wait, each for the lock of this name.
    pub(super) fn wait(&mut self, waits: Vec<(usize, String)>) {
        for (process, name) in waits {
            let process = Arc::clone(&self.processes[process]);
            let wait = self
                .spawn(async move { process.lock(&name, LockOptions::default()).await.unwrap() });
            self.waiting.push(wait);
        }
    }

    /// Releases all guards at the same time.
    pub(super) async fn release(&mut self) {
        let guards = self.guards.drain(..).map(Guard::release);
        join_all(guards).await.into_iter().for_each(Result::unwrap);
    }

    /// Waits until all waits are over. The guards are kept.
    pub(super) async fn granted(&mut self) {
        let guards = join_all(self.waiting.drain(..)).await;
        self.guards.extend(guards.into_iter().map(Result::unwrap));
    }

    /// Makes all leaders resign, and returns how many there were.
    pub(super) async fn resign(&mut self) -> usize {
        let leading = self.leaders.iter().filter(|one| one.status() == Status::Leading);
        let resigned: Vec<_> = leading.map(Leader::resign).collect();
        let count = resigned.len();
        join_all(resigned).await.into_iter().for_each(Result::unwrap);
        count
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.as_ref().expect("until it is dropped").spawn(work)
    }
}

pub(super) fn lock_name(number: usize) -> String {
    format!("lock-{number}")
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
