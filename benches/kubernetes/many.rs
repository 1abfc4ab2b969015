//! One process with thousands of locks: held for a long time, waited for, and locked and released in a row. With and
//! without a session.

use std::time::Duration;

use leasehold_test_support::since;

use super::{
    Bench, by_verb,
    child::{Child, megabytes},
    now,
    process::{play, player},
};

/// How long the locks are held. The figures of the documentation are those of 600 s.
fn seconds() -> u64 {
    std::env::var("LEASEHOLD_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60)
}

/// Holds thousands of locks, and counts connections, renewals in each second, and locks that are lost.
pub(crate) async fn held(bench: &mut Bench) {
    for locks in [1000_u64, 4000] {
        let namespace = bench.plane.namespace().await;
        let start = now();
        let holder = play(bench, &namespace, &format!("hold {locks}"));
        let acquired = start.elapsed();
        let count = || bench.plane.audit_of(|it| it.namespace == namespace && it.verb == "update");
        let mut lost = 0;
        let mut connections = 0;
        let mut rates = Vec::new();
        // Counting reads the whole audit log, so once per five seconds.
        let (mut before, mut at) = (count().values().sum::<u64>(), now());
        for _ in 0..seconds() / 5 {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                connections = connections.max(holder.sockets());
            }
            let (total, passed) = (count().values().sum::<u64>(), at.elapsed());
            at = now();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            rates.push((total - before) as f64 / passed.as_secs_f64());
            before = total;
            lost += holder.printed().iter().filter(|line| line.starts_with("lost")).count();
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let off = rates.iter().map(|rate| (rate / mean - 1.0).abs()).fold(0.0, f64::max) * 100.0;
        let result = format!(
            "{lost} lost in {} s, at most {connections} connections, {mean:.0} renewals/s, in each 5 s within {off:.0} % \
             of it, {}; all acquired in {:.1} s",
            seconds(),
            megabytes(holder.status("VmRSS")),
            acquired.as_secs_f64(),
        );
        bench.row(&format!("{locks} locks held by one process"), result, "");
    }
}

/// One process waits for a thousand locks that another one holds and then releases.
pub(crate) async fn waited(bench: &mut Bench) {
    wait_for(bench, "").await;
}

/// One process holds ten thousand locks of a session. Another pair holds and waits for a thousand.
pub(crate) async fn sessions(bench: &mut Bench) {
    const LOCKS: u32 = 10_000;
    let namespace = bench.plane.namespace().await;
    let holder = play(bench, &namespace, &format!("session-hold {LOCKS}"));
    let count = || bench.plane.audit_of(|request| request.namespace == namespace);
    let (before, mut connections, mut resident) = (count(), 0, 0);
    for _ in 0..seconds() * 2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        connections = connections.max(holder.sockets());
        resident = resident.max(holder.status("VmRSS"));
    }
    let lost = holder.printed().iter().filter(|line| line.starts_with("lost")).count();
    let requests = since(&before, &count());
    let result = format!(
        "{lost} lost in {} s, at most {connections} connections, at last {}; at most {}, at last {}",
        seconds(),
        holder.sockets(),
        megabytes(resident),
        megabytes(holder.status("VmRSS")),
    );
    let what = format!("{LOCKS} locks held by one session, a process of its own");
    bench.row(&what, result, by_verb(&requests));
    drop(holder);
    wait_for(bench, "session-").await;
}

async fn wait_for(bench: &mut Bench, mode: &str) {
    const LOCKS: u32 = 1000;
    let namespace = bench.plane.namespace().await;
    let mut holder = play(bench, &namespace, &format!("{mode}hold {LOCKS}"));
    let waiter =
        Child::spawn(&mut player("one", bench, &namespace, &format!("{mode}wait {LOCKS}")));
    let (mut connections, mut resident) = (0, 0);
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        connections = connections.max(waiter.sockets());
        resident = resident.max(waiter.status("VmRSS"));
    }
    holder.end_input();
    let limit = Duration::from_secs(120);
    let released = holder.next_line(limit);
    let start = now();
    let holding = waiter.next_line(limit);
    let result = format!(
        "at most {connections} connections, {}; all handed over {:.2} s after the last release",
        megabytes(resident),
        start.elapsed().as_secs_f64()
    );
    let what = if mode.is_empty() { "one process" } else { "one session, a process of its own" };
    bench.row(
        &format!("{LOCKS} locks waited for by {what}"),
        result,
        format!("{released}, {holding}"),
    );
}

/// One process locks and releases thousands of names, one after the other.
pub(crate) async fn names(bench: &mut Bench) {
    const PAIRS: u32 = 6000;
    let namespace = bench.plane.namespace().await;
    let few = play(bench, &namespace, "pairs 10");
    let many = play(bench, &namespace, &format!("pairs {PAIRS}"));
    let (few, many) = (few.status("VmRSS"), many.status("VmRSS"));
    let result = format!("{} more than after 10", megabytes(many.saturating_sub(few)));
    bench.row(&format!("resident memory after {PAIRS} names in a row"), result, megabytes(many));
}
