//! Measurements of whole processes: each is a `player` (`player.rs`).

use std::{path::PathBuf, process::Command, time::Duration};

use super::{
    ADMIN, Bench,
    child::{Child, megabytes},
    millis, quantile, timed,
};

const STARTS: usize = 30;

/// The path of the player, an example, which Cargo builds into the directory next to that of this benchmark.
fn program() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let program = built.parent().unwrap().parent().unwrap().join("examples/player");
    assert!(
        program.exists(),
        "build it first: cargo build --release --package leasehold --example player (`make bench` does)"
    );
    program
}

/// The command of a player. THREADS is `one` or `several`.
pub(crate) fn player(threads: &str, bench: &Bench, namespace: &str, part: &str) -> Command {
    let mut command = Command::new(program());
    command.args([threads, namespace, part]).env("KUBECONFIG", bench.plane.kubeconfig(ADMIN));
    command
}

/// Starts a player with one thread and waits until it has printed its word.
pub(crate) fn play(bench: &Bench, namespace: &str, part: &str) -> Child {
    Child::start(&mut player("one", bench, namespace, part))
}

/// Measures the time from the start of a process to its first lead, on a Lease that does not exist yet.
pub(crate) async fn start(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let mut times = Vec::new();
    for number in 0..STARTS {
        let (time, player) =
            timed(async { play(bench, &namespace, &format!("lead fresh-{number}")) }).await;
        times.push(time);
        drop(player);
    }
    let result = format!(
        "p50 {}, p99 {}",
        millis(quantile(&mut times, 0.5)),
        millis(quantile(&mut times, 0.99))
    );
    bench.row("process start to first leadership, fresh Lease", result, "");
}

/// Measures the memory of a process that only follows, with one thread and with several.
pub(crate) async fn follower(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let _leader = play(bench, &namespace, "lead billing");
    for (threads, name) in [("one", "one thread"), ("several", "several threads")] {
        let follower = Child::start(&mut player(threads, bench, &namespace, "follow billing"));
        tokio::time::sleep(Duration::from_secs(20)).await;
        let anonymous = megabytes(follower.status("RssAnon"));
        bench.row(
            &format!("resident memory of a follower, {name}"),
            megabytes(follower.status("VmRSS")),
            format!("{anonymous} of it anonymous memory, the rest files: {}", follower.files()),
        );
    }
}

/// Measures the requests, processor time and memory of one process that holds many locks.
pub(crate) async fn many(bench: &mut Bench) {
    for locks in [100_u64, 1000] {
        let namespace = bench.plane.namespace().await;
        let (acquired, holder) =
            timed(async { play(bench, &namespace, &format!("hold {locks}")) }).await;
        // Let the start pass, so that only renewals are measured.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let count =
            || bench.plane.audit_of(|request| request.namespace == namespace).values().sum::<u64>();
        let (before, ticks) = (count(), holder.ticks());
        tokio::time::sleep(Duration::from_secs(30)).await;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (rate, share) =
            ((count() - before) as f64 / 30.0, (holder.ticks() - ticks) as f64 / 30.0);
        let rss = megabytes(holder.status("VmRSS"));
        let result = format!(
            "{rate:.1} requests/s, {share:.1} % of one core, {rss}; all acquired in {:.2} s",
            acquired.as_secs_f64()
        );
        bench.row(&format!("{locks} locks held by one process"), result, "");
    }
}
