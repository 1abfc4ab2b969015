//! One process that takes locks again and again, and adds one to values under each.

use std::{io::Read as _, os::unix::process::CommandExt as _, path::PathBuf, time::Duration};

use leasehold::{DynSync, Etcd, Guard, Kubernetes, LockOptions, Options, SessionOptions};
use leasehold_test_support::{Rng, clock::deadline};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{
    TTL, WORK,
    store::{Connection, Guarded},
};

/// The slots of the lock with slots.
pub(super) const SLOTS: u16 = 2;

/// The settings of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(super) to: To,
    pub(super) session: bool,
    pub(super) namespace: String,
    /// That of the store.
    pub(super) socket: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum To {
    Kubernetes,
    Etcd {
        nodes: Vec<String>,
    },
    /// `concurrency.Mutex`.
    Peer {
        program: PathBuf,
        endpoint: String,
    },
}

impl To {
    pub(super) const fn name(&self, session: bool) -> &'static str {
        match (self, session) {
            (Self::Kubernetes, true) => "sessions on Kubernetes",
            (Self::Kubernetes, false) => "handles on Kubernetes",
            (Self::Etcd { .. }, true) => "sessions on etcd",
            (Self::Etcd { .. }, false) => "handles on etcd",
            (Self::Peer { .. }, _) => "etcd `concurrency.Mutex`",
        }
    }
}

/// A lock that the workers want.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock {
    /// What the names of its values begin with.
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    slots: bool,
}

impl Orders {
    /// All locks that a worker wants at the same time. Only a session has slots.
    pub(super) fn locks(&self) -> Vec<Lock> {
        let one = Lock { name: "", what: "one lock", slots: false };
        let slots = Lock { name: "slot-", what: "a lock with 2 slots", slots: true };
        let has_slots = self.session && !matches!(self.to, To::Peer { .. });
        [one].into_iter().chain(has_slots.then_some(slots)).collect()
    }
}

/// Works until the benchmark kills it, or has gone.
pub(crate) fn run(orders: &str) {
    // A stopped worker must not outlive the benchmark either. This stays across `exec`.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    let orders: Orders = serde_json::from_str(orders).unwrap();
    if let To::Peer { program, endpoint } = &orders.to {
        let mut peer = std::process::Command::new(program);
        peer.args(["lock-set", "--endpoint", endpoint, "--name", &orders.namespace]);
        peer.args(["--ttl", &TTL.as_secs().to_string(), "--hold", &format!("{WORK:?}")]);
        // Its client warns of each request that ends with a lost session.
        peer.env("ETCD_CLIENT_DEBUG", "error");
        panic!("{}", peer.arg("--socket").arg(&orders.socket).exec());
    }
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work(&orders));
}

async fn work(orders: &Orders) {
    let options = Options::default().namespace(&orders.namespace);
    match &orders.to {
        To::Kubernetes => {
            let sync = Kubernetes::connect(options).await.unwrap();
            if orders.session {
                let session = sync.session(SessionOptions::default().ttl(TTL)).await.unwrap();
                return take_turns(&session, orders).await;
            }
            take_turns(&sync, orders).await;
        }
        To::Etcd { nodes } => {
            let sync = Etcd::connect(options.nodes(nodes)).await.unwrap();
            if orders.session {
                let session = sync.session(SessionOptions::default().ttl(TTL)).await.unwrap();
                return take_turns(&session, orders).await;
            }
            take_turns(&sync, orders).await;
        }
        To::Peer { .. } => unreachable!("another program"),
    }
}

async fn take_turns(sync: &DynSync, orders: &Orders) {
    let turns = orders.locks().into_iter().map(|lock| turns_of(sync, lock, orders));
    futures::future::join_all(turns).await;
}

async fn turns_of(sync: &DynSync, lock: Lock, orders: &Orders) {
    let mut store = Connection::new(&orders.socket).unwrap();
    let mut random = Rng::new(std::process::id().into());
    let options = match (lock.slots, orders.session) {
        (true, _) => LockOptions::default().slots(SLOTS),
        (false, true) => LockOptions::default(),
        (false, false) => LockOptions::default().ttl(TTL),
    };
    loop {
        match sync.lock(if lock.slots { "slots" } else { "one" }, options).await {
            Ok(guard) => {
                let work =
                    WORK.mul_f64(f64::from(u16::try_from(random.below(1000)).unwrap()) / 1e3);
                add_one(&guard, lock, work, &mut store).await;
                // A lost lock is released already.
                let _ = guard.release().await;
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Reads the values, works, and writes them.
async fn add_one(guard: &Guard, lock: Lock, work: Duration, store: &mut Connection) {
    let (slot, token) = (guard.slot().unwrap_or(0), guard.token().get());
    let names = Guarded::ALL.map(|by| by.value(lock.name, slot));
    let tokens = [0, 0, token];
    let mut ask = |request: String| store.ask(&request).unwrap();
    let [unguarded, checked, fenced] =
        [0, 1, 2].map(|at| ask(format!("read {} {}", names[at], tokens[at])));
    sleep(work).await;
    let write = |at: usize, [count, last]: [u64; 2], until: u64| {
        format!("write {} {} {last} {} {until}", names[at], tokens[at], count + 1)
    };
    if let Some(read) = unguarded {
        ask(write(0, read, 0));
    }
    if let Some(read) = fenced {
        ask(write(2, read, 0));
    }
    let Some(read) = checked else { return };
    // The request is ready before the check, so that only its sending comes after it.
    match deadline(|| guard.remaining()) {
        Some(until) => {
            let request = write(1, read, until);
            let request =
                if guard.check().is_ok() { request } else { format!("skip {}", names[1]) };
            ask(request);
        }
        None => {
            ask(format!("skip {}", names[1]));
        }
    }
}
