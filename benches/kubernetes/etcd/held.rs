//! One process holds thousands of locks of a session on etcd, compared with as many in a process of etcd's client.
//!
//! The process is this program: it is started with a word that makes it [`hold`].

use std::{process::Command, time::Duration};

use leasehold::{Guard, Loss};
use leasehold_test_support::EtcdCluster;
use tokio::{
    io::{AsyncReadExt as _, stdin},
    runtime::Builder,
    time::sleep,
};

use super::session_of;
use crate::{
    Bench,
    child::{Child, megabytes},
    now, peers,
    sessions::lock_all,
};

/// The first argument of a process that holds locks: this word, the address of etcd and a number follow.
pub(crate) const HOLD: &str = "etcd-hold";
/// How many locks each process holds.
const LOCKS: usize = 10_000;
/// How long they are held.
const PERIOD: Duration = Duration::from_secs(60);
const SAMPLE: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(10);

/// Both, one after the other.
pub(crate) async fn all(bench: &mut Bench, cluster: &EtcdCluster) {
    let address = cluster.address(0).to_string();
    let mut ours = Command::new(std::env::current_exe().unwrap());
    ours.args([HOLD, &address, &LOCKS.to_string()]);
    measure(bench, cluster, "one session of ours", &mut ours).await;
    let mut theirs = Command::new(peers::program());
    theirs.args(["etcd-hold", "--endpoint", &format!("http://{address}"), "--name", "held"]);
    theirs.args(["--processes", &LOCKS.to_string()]);
    measure(bench, cluster, "one session of etcd's own client", &mut theirs).await;
}

async fn measure(bench: &mut Bench, cluster: &EtcdCluster, what: &str, command: &mut Command) {
    let (started, before) = (now(), cluster.requests().await);
    let mut holder = Child::start(command);
    let (acquired, taken) = (started.elapsed(), cluster.requests().await - before);
    let (before, started) = (cluster.requests().await, now());
    let (mut connections, mut resident) = (0, 0);
    while started.elapsed() < PERIOD {
        sleep(SAMPLE).await;
        connections = connections.max(holder.sockets());
        resident = resident.max(holder.status("VmRSS"));
    }
    let requests = cluster.requests().await - before;
    let anonymous = megabytes(holder.status("RssAnon"));
    let lost = holder.printed();
    assert!(lost.is_empty(), "no lock is lost: {lost:?}");
    holder.end_input();
    assert_eq!(holder.next_line(LIMIT), format!("held {LOCKS}"));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let rate = requests as f64 / PERIOD.as_secs_f64();
    bench.row(
        &format!("etcd: {what} holds {LOCKS} locks for {PERIOD:?}"),
        format!(
            "{rate:.2} requests/s, at most {connections} sockets, {} resident, {anonymous} of it anonymous",
            megabytes(resident)
        ),
        format!("all acquired in {:.1} s with {taken} requests", acquired.as_secs_f64()),
    );
}

/// Locks many names, prints a line, reports each lock that is lost, and at the end of its input how many are held.
pub(crate) fn hold(address: &str, count: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let session = session_of(vec![address.into()], "held").await;
        let guards = lock_all(&session, 0..count.parse().unwrap()).await;
        println!("holding");
        guards.iter().for_each(report_loss);
        stdin().read_to_end(&mut Vec::new()).await.unwrap();
        let held = guards.iter().filter(|guard| guard.is_held()).count();
        println!("held {held}");
    });
}

fn report_loss(guard: &Guard) {
    let tenure = guard.tenure();
    tokio::spawn(async move {
        let why = tenure.lost().await;
        if why != Loss::Released {
            println!("lost {} {why:?}", tenure.name());
        }
    });
}
