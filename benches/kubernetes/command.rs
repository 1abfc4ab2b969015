//! The time that `leasehold lock` adds to the command that it runs.

use std::{path::PathBuf, process::Command, time::Duration};

use super::{ADMIN, Bench, millis, quantile, timed};

const RUNS: usize = 100;

/// The path of the program, which Cargo builds into the directory above that of this benchmark.
fn program() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let program = built.parent().unwrap().parent().unwrap().join("leasehold");
    assert!(
        program.exists(),
        "build it first: cargo build --release --package leasehold-cli (`make bench` does)"
    );
    program
}

/// Measures `leasehold lock n true`, in turns with the same with `--queue`, with `true` alone and, if `etcdctl` is in
/// `PATH`, with `etcdctl lock n true` on the etcd of the same control plane.
pub(crate) async fn lock(bench: &mut Bench) {
    let namespace = bench.plane.namespace().await;
    let kubeconfig = bench.plane.kubeconfig(ADMIN);
    let leasehold = |words: &[&str]| {
        let mut command = Command::new(program());
        command.args(["lock", "--namespace", &namespace]).args(words).arg("true");
        command.env("KUBECONFIG", &kubeconfig);
        command
    };
    let mut commands = vec![
        ("`leasehold lock`", leasehold(&["bench"])),
        ("`leasehold lock --queue`", leasehold(&["--queue", "bench-queue"])),
        ("`true` alone", Command::new("true")),
    ];
    let mut etcdctl = Command::new("etcdctl");
    etcdctl.args(["--endpoints", &bench.plane.etcd(), "lock", "bench", "true"]);
    // `etcdctl` prints the key of the lock before it runs the command.
    etcdctl.stdout(std::process::Stdio::null());
    if etcdctl.status().is_ok() {
        commands.push(("`etcdctl lock`", etcdctl));
    }
    let mut times = vec![Vec::new(); commands.len()];
    for turn in 0..RUNS + 5 {
        for ((name, command), times) in commands.iter_mut().zip(&mut times) {
            let (time, status) = timed(async { command.status().unwrap() }).await;
            assert!(status.success(), "{name} ended with {status}");
            if turn >= 5 {
                times.push(time);
            }
        }
    }
    let median = |(name, times): (&str, &mut Vec<Duration>)| {
        format!("{name} p50 {}", millis(quantile(times, 0.5)))
    };
    let medians = commands.iter().map(|(name, _)| *name).zip(&mut times).skip(1).map(median);
    let comparison = medians.collect::<Vec<_>>().join(", ");
    let result = format!(
        "p50 {}, p99 {}",
        millis(quantile(&mut times[0], 0.5)),
        millis(quantile(&mut times[0], 0.99))
    );
    bench.row("`leasehold lock n true`, process start to end", result, comparison);
}
