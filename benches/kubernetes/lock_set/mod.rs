//! Lost updates while processes are stopped for longer than the ttl: `lock-set`.
//!
//! ```text
//!   worker ──┐  each: lock, read three values, work, write them, release; in a loop
//!   worker ──┼──▶ Kubernetes or etcd
//!   ..       │
//!            └──▶ store in the benchmark: the values, one unguarded, one behind check(), one behind tokens
//!      ▲
//!      └── SIGSTOP and SIGCONT, for longer than the ttl
//! ```
//!
//! A worker that is stopped with the lock goes on with values that are old by then. The unguarded value shows how often
//! that happens. An update that is lost of one of the others fails the benchmark, but for those that no lock can prevent:
//! see [`store`].

mod store;
mod worker;

use std::{path::Path, process::Stdio, time::Duration};

use leasehold_test_support::{ADMIN, EtcdCluster, Rng};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

pub(crate) use self::worker::run as work;
use self::{
    store::{Guarded, Store},
    worker::{Orders, To},
};
use super::{Bench, now, peers};

/// The environment variable with the settings of a worker.
pub(crate) const ORDERS: &str = "LEASEHOLD_LOCK_SET";
/// How long each round is measured.
const ROUND: Duration = Duration::from_secs(60);
const WORKERS: usize = 6;
/// No more are stopped at a time.
const MOST_STOPPED: usize = 2;
/// The longest work of a holder.
const WORK: Duration = Duration::from_millis(50);
const TTL: Duration = Duration::from_secs(2);
/// How long a worker is stopped, in milliseconds: longer than the ttl.
const STOPPED: [u64; 2] = [2500, 5000];
/// The time from one stop to the next one, in milliseconds.
const BETWEEN: [u64; 2] = [500, 1500];

/// The rounds of both backends, and that of `concurrency.Mutex` of etcd's own client.
pub(crate) async fn all(bench: &mut Bench) {
    // Missing programs are reported before the first minute of measuring.
    let program = peers::program();
    let mut lost = Vec::new();
    for session in [true, false] {
        let namespace = bench.plane.namespace().await;
        lost.extend(round(bench, &orders(To::Kubernetes, session, namespace)).await);
    }
    if let Some(cluster) = EtcdCluster::start(1).await {
        let to = || To::Etcd { nodes: cluster.addresses() };
        for session in [true, false] {
            let namespace = if session { "session" } else { "handle" };
            lost.extend(round(bench, &orders(to(), session, namespace.into())).await);
        }
        let endpoint = format!("http://{}", cluster.address(0));
        let to = To::Peer { program, endpoint };
        lost.extend(round(bench, &orders(to, true, "mutex".into())).await);
    }
    assert!(lost.is_empty(), "guarded updates were lost: {lost:#?}");
}

fn orders(to: To, session: bool, namespace: String) -> Orders {
    Orders { to, session, namespace, socket: "".into() }
}

/// Returns what was lost although it was guarded.
async fn round(bench: &mut Bench, orders: &Orders) -> Vec<String> {
    let directory = TempDir::new().unwrap();
    let store = Store::serve(&directory.path().join("store"));
    let kubeconfig = bench.plane.kubeconfig(ADMIN);
    let orders = Orders { socket: directory.path().join("store"), ..orders.clone() };
    let mut workers: Vec<_> = (0..WORKERS).map(|_| start(&orders, &kubeconfig)).collect();
    let stops = stop_in_turns(&workers, &store).await;
    for worker in &mut workers {
        assert!(worker.try_wait().unwrap().is_none(), "a worker ended by itself");
        worker.kill().await.unwrap();
    }
    let mut lost = Vec::new();
    for lock in orders.locks() {
        let what =
            format!("{WORKERS} processes, {}, {}", orders.to.name(orders.session), lock.what);
        let results = Guarded::ALL.map(|by| (by, store.total(lock.name, by)));
        let made = results.iter().filter(|(_, total)| total.writes > 0);
        let result: Vec<_> = made.map(|(by, total)| format!("{}: {total}", by.name())).collect();
        bench.row(&what, result.join("; "), format!("{stops} times, a process was stopped"));
        let wrong = results.into_iter().filter(|(by, total)| total.is_wrong(*by));
        lost.extend(wrong.map(|(by, total)| format!("{what}, {}: {total}", by.name())));
    }
    lost
}

/// Ends with its input, and with this process.
fn start(orders: &Orders, kubeconfig: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(ORDERS, serde_json::to_string(orders).unwrap())
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Stops workers for [`ROUND`], and continues each; how often. Half of the stops hit a process at its work, and the others
/// any process.
async fn stop_in_turns(workers: &[Child], store: &Store) -> u64 {
    let mut random = Rng::new(7);
    let (end, mut next, mut stops) = (now() + ROUND, now() + millis(&mut random, BETWEEN), 0);
    let mut stopped = vec![None; workers.len()];
    while now() < end || stopped.iter().any(Option::is_some) {
        for (worker, until) in workers.iter().zip(&mut stopped) {
            if until.take_if(|until| *until <= now()).is_some() {
                signal(worker, Signal::CONT);
            }
        }
        let running: Vec<_> = (0..workers.len()).filter(|at| stopped[*at].is_none()).collect();
        if now() >= next && now() < end && workers.len() - running.len() < MOST_STOPPED {
            let at_work = running.iter().copied().find(|at| store.is_at_work(workers[*at].id()));
            let at =
                at_work.filter(|_| random.chance(500)).unwrap_or_else(|| random.pick(&running));
            signal(&workers[at], Signal::STOP);
            stopped[at] = Some(now() + millis(&mut random, STOPPED));
            next = now() + millis(&mut random, BETWEEN);
            stops += 1;
        }
        sleep(Duration::from_millis(10)).await;
    }
    // Old values are written in this time.
    sleep(TTL).await;
    stops
}

fn millis(random: &mut Rng, [least, most]: [u64; 2]) -> Duration {
    Duration::from_millis(random.between(least, most))
}

fn signal(worker: &Child, signal: Signal) {
    let pid = worker.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    kill_process(pid.expect("a worker runs until it is killed"), signal).unwrap();
}
