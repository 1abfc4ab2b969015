//! What `leasehold lock` adds to the command that it runs.

use std::{path::PathBuf, process::Command, time::Duration};

use super::{ADMIN, Bench, millis, quantile, timed};

const RUNS: usize = 100;

/// Beside this benchmark's own directory.
fn program() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let program = built.parent().unwrap().parent().unwrap().join("leasehold");
    assert!(
        program.exists(),
        "build it first: cargo build --release --package leasehold-cli (`make bench` does)"
    );
    program
}

/// `leasehold lock n true`, in turns with `true` alone and, where that is in `PATH`, with `etcdctl lock n true`
/// on the etcd of the same control plane.
pub(crate) async fn lock(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let mut ours = Command::new(program());
    ours.args(["lock", "--namespace", &namespace, "bench", "true"]);
    ours.env("KUBECONFIG", bench.plane.kubeconfig(ADMIN));
    let mut commands = vec![("`leasehold lock`", ours), ("`true` alone", Command::new("true"))];
    let mut theirs = Command::new("etcdctl");
    theirs.args(["--endpoints", &bench.plane.etcd(), "lock", "bench", "true"]);
    // Says its key and then runs the command.
    theirs.stdout(std::process::Stdio::null());
    if theirs.status().is_ok() {
        commands.push(("`etcdctl lock`", theirs));
    }
    let mut times = vec![Vec::new(); commands.len()];
    for turn in 0..RUNS + 5 {
        for ((what, command), times) in commands.iter_mut().zip(&mut times) {
            let (time, ended) = timed(async { command.status().unwrap() }).await;
            assert!(ended.success(), "{what} ended with {ended}");
            if turn >= 5 {
                times.push(time);
            }
        }
    }
    let told = |(what, times): (&str, &mut Vec<Duration>)| {
        format!("{what} p50 {}", millis(quantile(times, 0.5)))
    };
    let beside = commands.iter().map(|(what, _)| *what).zip(&mut times).skip(1).map(told);
    let beside = beside.collect::<Vec<_>>().join(", ");
    let figure = format!(
        "p50 {}, p99 {}",
        millis(quantile(&mut times[0], 0.5)),
        millis(quantile(&mut times[0], 0.99))
    );
    bench.row("`leasehold lock n true`, process start to end", figure, beside);
}
