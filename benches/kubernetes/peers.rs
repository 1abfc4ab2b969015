//! What others do on the same servers: etcd's `concurrency.Mutex` on the etcd below the API server, and the elector of
//! client-go on the API server. The program `tests/peers` runs each round.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;
use tokio::process::Command;

use super::{ADMIN, Bench, millis, quantile};

/// How long each round is measured.
const ROUND: Duration = Duration::from_secs(10);
/// client-go tries every two seconds, so that it needs a longer round.
const LONG_ROUND: Duration = Duration::from_secs(30);
/// How long a holder works.
const HOLD: Duration = Duration::from_millis(1);

/// The same rounds as `sessions`.
pub(crate) async fn all(bench: &mut Bench) {
    let etcd = bench.plane.etcd();
    uncontended(bench, &etcd).await;
    for pause in [Duration::ZERO, Duration::from_millis(100)] {
        for processes in [2, 10, 50] {
            mutex(bench, &etcd, processes, pause).await;
        }
    }
    for processes in [2, 10, 50] {
        elector(bench, processes).await;
    }
}

/// One lock and unlock after the other.
pub(crate) async fn uncontended(bench: &mut Bench, etcd: &str) {
    let result = run(&["etcd-pair", "--endpoint", etcd, "--name", "pair"], ROUND).await;
    let mut times = times(&result["times"]);
    bench.row(
        "etcd `concurrency.Mutex`, lock and unlock, uncontended",
        format!(
            "p50 {}, p99 {}",
            millis(quantile(&mut times, 0.5)),
            millis(quantile(&mut times, 0.99))
        ),
        format!("{:.1} requests", requests(&result) / as_f64(times.len() as u64)),
    );
}

pub(crate) async fn mutex(bench: &mut Bench, etcd: &str, processes: usize, pause: Duration) {
    let name = format!("contended-{processes}-{}", pause.as_millis());
    let (number, pause) = (processes.to_string(), format!("{pause:?}"));
    let words = ["etcd-mutex", "--endpoint", etcd, "--name", &name, "--processes", &number];
    let result = run(&[&words[..], &["--pause", &pause]].concat(), ROUND).await;
    let requests = requests(&result);
    report(
        bench,
        &format!("etcd: {processes} sessions want one Mutex, pause {pause}"),
        &result,
        requests,
        ROUND,
    );
}

async fn elector(bench: &mut Bench, processes: usize) {
    let namespace = bench.plane.namespace().await;
    let kubeconfig = bench.plane.kubeconfig(ADMIN).display().to_string();
    let number = processes.to_string();
    let words = ["client-go", "--kubeconfig", &kubeconfig, "--namespace", &namespace];
    let result = run(&[&words[..], &["--processes", &number]].concat(), LONG_ROUND).await;
    let sent: u64 = bench.plane.audit_of(|request| request.namespace == namespace).values().sum();
    let line = format!("client-go: {processes} electors want one Lease, no pause");
    report(bench, &line, &result, as_f64(sent), LONG_ROUND);
}

/// One candidacy after the other, each without a competitor. Returns their times and the number of requests.
pub(crate) async fn campaigns(etcd: &str, count: usize) -> (Vec<Duration>, u64) {
    let rounds = count.to_string();
    let words = ["etcd-campaigns", "--endpoint", etcd, "--name", "campaigns", "--rounds", &rounds];
    let result = run(&words, ROUND).await;
    (times(&result["times"]), result["requests"].as_u64().unwrap())
}

/// The leader of several candidates resigns, and competes again. Returns the times until the next one leads and until an
/// observer sees that, and the number of requests.
pub(crate) async fn successions(
    etcd: &str,
    candidates: usize,
    count: usize,
) -> ([Vec<Duration>; 2], u64) {
    let (name, rounds) = (format!("successions-{candidates}"), count.to_string());
    let words = ["etcd-successions", "--endpoint", etcd, "--name", &name, "--rounds", &rounds];
    let processes = candidates.to_string();
    let result = run(&[&words[..], &["--processes", &processes]].concat(), ROUND).await;
    let times = [times(&result["times"]), times(&result["observed"])];
    (times, result["requests"].as_u64().unwrap())
}

fn times(seconds: &Value) -> Vec<Duration> {
    let seconds = seconds.as_array().into_iter().flatten().filter_map(Value::as_f64);
    seconds.map(Duration::from_secs_f64).collect()
}

/// Runs one round of the peers, which prints its result.
async fn run(words: &[&str], length: Duration) -> Value {
    let mut command = Command::new(program());
    command.args(words).args(["--length", &format!("{length:?}"), "--hold", &format!("{HOLD:?}")]);
    let output = command.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "peers {words:?}: {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The program, which `make bench` builds.
pub(crate) fn program() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let target = built.ancestors().nth(3).unwrap();
    let program = target.join("peers/peers");
    assert!(program.exists(), "build it first: tests/build.sh peers (`make bench` does)");
    program
}

fn requests(result: &Value) -> f64 {
    result["requests"].as_f64().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
const fn as_f64(number: u64) -> f64 {
    number as f64
}

fn report(bench: &mut Bench, line: &str, result: &Value, requests: f64, length: Duration) {
    let rounds = result["rounds"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    let rounds: Vec<_> = rounds.collect();
    let sum: f64 = rounds.iter().sum();
    let squares: f64 = rounds.iter().map(|rounds| rounds * rounds).sum();
    bench.row(
        line,
        format!("{:.1} hand-offs/s", sum / length.as_secs_f64()),
        format!(
            "{:.1} requests each, Jain's index {:.2}, longest wait {:.1} s",
            requests / sum,
            sum * sum / (squares * as_f64(rounds.len() as u64)),
            result["longest"].as_f64().unwrap_or_default()
        ),
    );
}
