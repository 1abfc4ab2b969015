//! The requests of what changes: an acquire and release, a hand-over, a crash.

use std::{sync::Arc, time::Duration};

use leasehold::LockOptions;
use leasehold_test_support::since;
use tokio::time::sleep;

use super::{
    super::{ADMIN, Bench},
    fleet::{Fleet, Mode, USER, lock_name},
    meter::count,
    steady::each,
};

/// How many locks.
const SIZES: [usize; 2] = [50, 500];

/// Measures all changes in both modes.
pub(super) async fn all(bench: &mut Bench) {
    for mode in Mode::ALL {
        for locks in SIZES {
            pairs(bench, mode, locks).await;
            hand_over(bench, mode, locks).await;
            crash(bench, mode, locks).await;
        }
    }
}

/// One process after the other locks and releases each name.
async fn pairs(bench: &mut Bench, mode: Mode, locks: usize) {
    let mut fleet = Fleet::idle(bench, mode, 1, 2).await;
    for (process, what) in [
        (0, "a name that does not exist yet"),
        (0, "a name that it knows"),
        (1, "a name that another process has used"),
    ] {
        let before = count(bench, &fleet.namespaces);
        let process = Arc::clone(&fleet.processes[process]);
        for number in 0..locks {
            let guard = process.lock(&lock_name(number), LockOptions::default()).await.unwrap();
            guard.release().await.unwrap();
        }
        let requests = since(&before, &count(bench, &fleet.namespaces));
        bench.row(
            &format!(
                "{}: acquire and release {what}, {locks} of them, requests for each",
                mode.processes()
            ),
            each(&requests, locks),
            "",
        );
    }
    fleet.guards.clear();
}

/// A process waits for locks, and gets all of them when the holder releases them.
async fn hand_over(bench: &mut Bench, mode: Mode, locks: usize) {
    let mut fleet = Fleet::new(bench, 1).await;
    fleet.open(bench, USER, mode, 1).await;
    fleet.guards = fleet.lock(&fleet.processes[0], locks).await;
    fleet.open(bench, USER, mode, 1).await;
    let before = count(bench, &fleet.namespaces);
    fleet.wait((0..locks).map(|number| (1, lock_name(number))).collect());
    sleep(Duration::from_secs(2)).await;
    let waiting = count(bench, &fleet.namespaces);
    fleet.release().await;
    fleet.granted().await;
    let after = count(bench, &fleet.namespaces);
    bench.row(
        &format!(
            "{}: one process releases {locks} locks to another, requests for each",
            mode.processes()
        ),
        each(&since(&waiting, &after), locks),
        format!("begin to wait {}", each(&since(&before, &waiting), locks)),
    );
}

/// A process crashes that holds locks, each of which another process waits for.
async fn crash(bench: &mut Bench, mode: Mode, locks: usize) {
    let mut holder = Fleet::new(bench, 1).await;
    holder.open(bench, ADMIN, mode, 1).await;
    holder.guards = holder.lock(&holder.processes[0], locks).await;
    let mut waiter = Fleet::within(holder.namespaces.clone());
    waiter.open(bench, USER, mode, 1).await;
    waiter.wait((0..locks).map(|number| (0, lock_name(number))).collect());
    sleep(Duration::from_secs(6)).await;
    let before = count(bench, &waiter.namespaces);
    drop(holder);
    waiter.granted().await;
    let requests = since(&before, &count(bench, &waiter.namespaces));
    bench.row(
        &format!(
            "{}: the holder of {locks} locks crashes, requests of their waiter for each until it has all",
            mode.processes()
        ),
        each(&requests, locks),
        "",
    );
}
