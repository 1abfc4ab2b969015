//! One member: a process that takes locks again and again, works, and reports to the runner.
//!
//! A member without a session takes `orders`. A member with a session takes all locks of the run at the same time, each
//! in a loop of its own, and ends its session now and then to open another one.

use std::{
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::PathBuf,
    time::Duration,
};

use leasehold::{DynSync, Error, Guard, Kubernetes, LockOptions, Options, Session, SessionOptions};
use leasehold_test_support::{Rng, clock::deadline};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    event::{Event, Lock, Mode, SLOTS, now},
    resource::Connection,
    work::Work,
};

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
    /// It opens a session.
    pub(crate) session: bool,
    pub(crate) namespace: String,
    pub(crate) server: String,
    pub(crate) directory: PathBuf,
    pub(crate) resource: PathBuf,
    pub(crate) broken: Broken,
    pub(crate) seed: u64,
}

/// The state of a member for one lock.
pub(crate) struct Member {
    pub(crate) orders: Orders,
    pub(crate) lock: Lock,
    pub(crate) rng: Rng,
    pub(crate) resource: Connection,
    runner: UnixStream,
    /// The number of updates so far.
    pub(crate) made: u64,
    /// The last reported deadline.
    reported: u64,
    /// Guards that are left to the end of their session.
    left: Vec<Guard>,
}

/// Runs until the runner asks for the end, or has gone.
pub(crate) fn run(orders: Orders) {
    // A stopped member must not outlive the runner either.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).expect("allowed");
    let runner = std::io::stdin().as_fd().try_clone_to_owned().expect("a socket");
    let runner = UnixStream::from(runner);
    let enough = listen(runner.try_clone().expect("a socket"));
    let mut rng = Rng::new(orders.seed);
    let mut member = |lock| Member {
        orders: orders.clone(),
        lock,
        rng: Rng::new(rng.draw()),
        resource: Connection::new(&orders.resource).expect("the resource"),
        runner: runner.try_clone().expect("a socket"),
        made: 0,
        reported: 0,
        left: Vec::new(),
    };
    let members = Lock::ALL.map(&mut member);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(live(orders, members, rng, enough));
}

/// Lives with sessions, or without.
async fn live(
    orders: Orders,
    mut members: [Member; 3],
    mut rng: Rng,
    mut enough: watch::Receiver<bool>,
) {
    let options = Options::default()
        .namespace(&orders.namespace)
        .identity(&orders.identity)
        .nodes([&orders.server]);
    let sync = Kubernetes::connect(options).await.expect("a kubeconfig");
    if !orders.session {
        return members[Lock::Orders as usize].take_turns(&sync, enough).await;
    }
    let mut ended = true;
    while !*enough.borrow() {
        let ttl = Duration::from_secs(rng.pick(&[3, 5]));
        let opening = sync.session(SessionOptions::default().ttl(ttl));
        let session = tokio::select! {
            biased;
            _ = enough.wait_for(|&enough| enough) => break,
            session = opening => session,
        };
        match session {
            Ok(session) => ended = live_in(session, &mut members, &mut rng, &mut enough).await,
            Err(error) => {
                members[0].failed("session", &error);
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
    // Members without a session could wait for the locks of a session that has not ended, without end.
    if !ended {
        sleep(Duration::from_secs(5)).await;
    }
}

/// Takes all locks through one session, and ends it after a while, when some guards are still held. False if it ends in
/// the background, because it is dropped.
async fn live_in(
    session: Session,
    members: &mut [Member; 3],
    rng: &mut Rng,
    enough: &mut watch::Receiver<bool>,
) -> bool {
    const END: Duration = Duration::from_secs(20);
    let (stop, stopped) = watch::channel(false);
    let lasts = Duration::from_secs(rng.between(5, 60));
    let stopping = async {
        let _ = timeout(lasts, enough.wait_for(|&enough| enough)).await;
        stop.send_replace(true);
    };
    let [orders, gpu, index] = &mut *members;
    tokio::join!(
        stopping,
        orders.take_turns(&session, stopped.clone()),
        gpu.take_turns(&session, stopped.clone()),
        index.take_turns(&session, stopped.clone()),
    );
    let ends = rng.chance(700);
    if ends && let Ok(Err(error)) = timeout(END, session.end()).await {
        members[0].failed("end of a session", &error);
    }
    for member in members {
        member.left.clear();
    }
    ends
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

    /// Takes the lock again and again until it is enough.
    async fn take_turns(&mut self, sync: &DynSync, mut enough: watch::Receiver<bool>) {
        while !*enough.borrow() {
            let (mode, options) = self.options();
            let attempt = self.attempt(sync, options);
            let guard = tokio::select! {
                biased;
                _ = enough.wait_for(|&enough| enough) => return,
                guard = attempt => guard,
            };
            if let Some(guard) = guard {
                self.tenure(guard, mode, &enough).await;
            }
            // Members without a session get the lock only while no session waits for it.
            let most = if self.orders.session { 4000 } else { 400 };
            let pause = self.millis(0, most);
            let _ = timeout(pause, enough.wait_for(|&enough| enough)).await;
        }
    }

    /// How to take the lock, and the mode of the tenure. The slot is not known yet.
    fn options(&mut self) -> (Mode, LockOptions) {
        let options = LockOptions::default();
        match self.lock {
            Lock::Orders if self.orders.session => (Mode::Exclusive, options),
            Lock::Orders => {
                (Mode::Exclusive, options.ttl(Duration::from_secs(self.rng.pick(&[3, 5]))))
            }
            Lock::Gpu => (Mode::Slot(0), options.slots(SLOTS)),
            Lock::Index if self.rng.chance(600) => (Mode::Shared, options.shared()),
            Lock::Index => (Mode::Exclusive, options),
        }
    }

    /// Tries to lock: mostly without a limit, sometimes with a limited wait, sometimes cancelled by the caller.
    async fn attempt(&mut self, sync: &DynSync, options: LockOptions) -> Option<Guard> {
        let (kind, patience) = (self.rng.below(100), self.millis(100, 6000));
        let options = if kind < 15 { options.wait(patience) } else { options };
        let locking = sync.lock(self.lock.name(), options);
        let outcome = if (15..30).contains(&kind) {
            timeout(patience, locking).await.ok()?
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

    async fn tenure(&mut self, guard: Guard, mode: Mode, enough: &watch::Receiver<bool>) {
        let (lock, since, token) = (self.lock, now(), guard.token().get());
        let mode = guard.slot().map_or(mode, Mode::Slot);
        let Some(until) = self.believes(&guard) else {
            return self.report(&Event::BeganLate { lock, mode, token });
        };
        self.report(&Event::Began { lock, mode, token, since, until });
        self.reported = until;
        let rounds = self.rng.between(1, 7);
        let crash = self.rng.chance(60).then(|| self.rng.below(rounds));
        for round in 0..rounds {
            let work = Work::read(self, mode, token);
            self.pause(&guard).await;
            if crash == Some(round) {
                self.crash();
            }
            work.write(self, &guard);
            if self.believes(&guard).is_none() {
                break;
            }
        }
        let enough = *enough.borrow();
        self.end(guard, enough).await;
    }

    /// A lower bound of the deadline, if the tenure is held now.
    pub(crate) fn believes(&self, guard: &Guard) -> Option<u64> {
        if self.orders.broken == Broken::Deadline {
            return Some(u64::MAX);
        }
        deadline(|| guard.remaining())
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
                let lock = self.lock;
                self.report(&Event::Until { lock, token: guard.token().get(), until });
                self.reported = until;
            }
        }
    }

    async fn end(&mut self, guard: Guard, enough: bool) {
        let (lock, token) = (self.lock, guard.token().get());
        self.report(&Event::Over { lock, token, at: now() });
        if self.orders.session && enough && self.rng.chance(500) {
            self.left.push(guard);
        } else if self.rng.chance(200) {
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
