//! One member: a process that takes the lock again and again, works, and reports to the runner.

use std::{
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::PathBuf,
    time::Duration,
};

use leasehold::{Error, Guard, Kubernetes, LockOptions, Options, Sync as _};
use leasehold_test_support::Rng;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};

use crate::{
    event::{Event, now},
    resource::Connection,
    work::Work,
};

/// The lock of the run.
pub(crate) const LOCK: &str = "orders";

/// A deliberate bug, which the checks must find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Broken {
    #[default]
    Nothing,
    /// Members never check whether they still hold the lock.
    Deadline,
    /// The resource ignores tokens.
    Fence,
}

/// The settings of a member, given at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The number of this process among all that the runner starts.
    pub(crate) life: u64,
    pub(crate) identity: String,
    pub(crate) namespace: String,
    pub(crate) server: String,
    pub(crate) directory: PathBuf,
    pub(crate) resource: PathBuf,
    pub(crate) broken: Broken,
    pub(crate) seed: u64,
}

/// The state of a member in its process.
pub(crate) struct Member {
    pub(crate) orders: Orders,
    pub(crate) rng: Rng,
    pub(crate) resource: Connection,
    runner: UnixStream,
    /// The number of updates so far.
    pub(crate) made: u64,
    /// The last reported deadline.
    reported: u64,
}

/// Runs until the runner asks for the end, or has gone.
pub(crate) fn run(orders: Orders) {
    // A stopped member must not outlive the runner either.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).expect("allowed");
    let runner = std::io::stdin().as_fd().try_clone_to_owned().expect("a socket");
    let runner = UnixStream::from(runner);
    let enough = listen(runner.try_clone().expect("a socket"));
    let resource = Connection::new(&orders.resource).expect("the resource");
    let rng = Rng::new(orders.seed);
    let mut member = Member { orders, rng, resource, runner, made: 0, reported: 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(member.live(enough));
}

/// Listens to the runner: one byte asks for the end; the end of the stream means that the runner has gone.
fn listen(mut runner: UnixStream) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    std::thread::spawn(move || {
        while matches!(runner.read(&mut [0]), Ok(1)) {
            sender.send_replace(true);
        }
        std::process::exit(1);
    });
    receiver
}

impl Member {
    pub(crate) fn report(&mut self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("JSON");
        line.push(b'\n');
        if self.runner.write_all(&line).is_err() {
            std::process::exit(1);
        }
    }

    async fn live(&mut self, mut enough: watch::Receiver<bool>) {
        let options = Options::default()
            .namespace(&self.orders.namespace)
            .identity(&self.orders.identity)
            .nodes([&self.orders.server]);
        let sync = Kubernetes::connect(options).await.expect("a kubeconfig");
        while !*enough.borrow() {
            let ttl = Duration::from_secs(self.rng.pick(&[3, 5]));
            let attempt = self.attempt(&sync, ttl);
            let guard = tokio::select! {
                biased;
                _ = enough.wait_for(|&enough| enough) => return,
                guard = attempt => guard,
            };
            if let Some(guard) = guard {
                self.tenure(guard).await;
            }
            sleep(self.millis(0, 400)).await;
        }
    }

    /// Tries to lock: mostly without a limit, sometimes with a limited wait, sometimes cancelled by the caller.
    async fn attempt(&mut self, sync: &Kubernetes, ttl: Duration) -> Option<Guard> {
        let (kind, patience) = (self.rng.below(100), self.millis(100, 6000));
        let options = LockOptions::default().ttl(ttl);
        let options = if kind < 15 { options.wait(patience) } else { options };
        let locking = sync.lock(LOCK, options);
        let outcome = if (15..30).contains(&kind) {
            tokio::time::timeout(patience, locking).await.ok()?
        } else {
            locking.await
        };
        match outcome {
            Ok(guard) => Some(guard),
            Err(Error::Held { .. } | Error::Timeout { .. }) => None,
            Err(error) => {
                self.failed(if kind < 15 { "lock with a limited wait" } else { "lock" }, &error);
                sleep(Duration::from_millis(200)).await;
                None
            }
        }
    }

    async fn tenure(&mut self, guard: Guard) {
        let (since, token) = (now(), guard.token().get());
        let Some(until) = self.believes(&guard) else {
            return self.report(&Event::BeganLate { token });
        };
        self.report(&Event::Began { token, since, until });
        self.reported = until;
        let rounds = self.rng.between(1, 7);
        let crash = self.rng.chance(60).then(|| self.rng.below(rounds));
        for round in 0..rounds {
            let work = Work::read(self, token);
            self.pause(&guard).await;
            if crash == Some(round) {
                self.crash();
            }
            work.write(self, &guard);
            if self.believes(&guard).is_none() {
                break;
            }
        }
        self.end(guard).await;
    }

    /// A lower bound of the deadline, if the tenure is held now.
    pub(crate) fn believes(&self, guard: &Guard) -> Option<u64> {
        if self.orders.broken == Broken::Deadline {
            return Some(u64::MAX);
        }
        loop {
            let before = now();
            let left = guard.remaining();
            if left.is_zero() {
                return None;
            }
            // Measure again after a pause, because the sum would be too early by the length of that pause.
            if now() - before < 1_000_000 {
                return Some(before + u64::try_from(left.as_nanos()).expect("seconds"));
            }
        }
    }

    /// The time of the work: mostly short. Sometimes it blocks the executor.
    async fn pause(&mut self, guard: &Guard) {
        const STEP: Duration = Duration::from_millis(50);
        let mut left =
            if self.rng.chance(100) { self.millis(1000, 5000) } else { self.millis(0, 500) };
        if self.rng.chance(100) {
            return std::thread::sleep(left);
        }
        while !left.is_zero() {
            sleep(left.min(STEP)).await;
            left = left.saturating_sub(STEP);
            if let Some(until) = self.believes(guard).filter(|&until| until != self.reported) {
                self.report(&Event::Until { token: guard.token().get(), until });
                self.reported = until;
            }
        }
    }

    async fn end(&mut self, guard: Guard) {
        self.report(&Event::Over { token: guard.token().get(), at: now() });
        if self.rng.chance(200) {
            drop(guard);
        } else if let Err(error) = guard.release().await {
            self.failed("release", &error);
        }
    }

    fn crash(&mut self) -> ! {
        self.report(&Event::Crashes);
        kill_process(getpid(), Signal::KILL).expect("a signal to this process");
        unreachable!("SIGKILL ends the process")
    }

    fn failed(&mut self, what: &str, error: &Error) {
        self.report(&Event::Failed { what: format!("{what}: {error}") });
    }

    fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.rng.between(least, most))
    }
}
