//! The unit file of the documentation. Each test runs where its tool is there.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::Fixture;

const UNIT: &str = include_str!("../../../docs/leasehold-backup.service");
const PAGE: &str = include_str!("../../../docs/cli.md");

#[test]
fn the_unit_file_is_the_one_on_the_page_and_systemd_accepts_it() {
    assert!(PAGE.contains(&format!("```ini\n{UNIT}```\n")));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leasehold-backup.service");
    let unit = UNIT
        .replace("/usr/local/bin/leasehold", env!("CARGO_BIN_EXE_leasehold"))
        .replace("/usr/local/bin/backup", "/bin/true");
    fs::write(&path, unit).unwrap();
    let Ok(verified) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
        return eprintln!("not tested: there is no systemd-analyze");
    };

    // A line that systemd does not understand is a warning only.
    assert_eq!(String::from_utf8_lossy(&verified.stderr), "");
    assert!(verified.status.success());
}

#[tokio::test]
async fn a_service_that_is_stopped_sends_one_signal_and_releases_its_lock() {
    if !Path::new("/run/systemd/system").exists() || !rustix::process::geteuid().is_root() {
        return eprintln!("not tested: needs systemd and root");
    }
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let unit = format!("leasehold-test-{}", fixture.namespace);
    let script =
        "trap 'echo term >>$0; sleep 1; exit 0' TERM; echo ready >>$0; while :; do sleep 0.1; done";
    let mut start = Command::new("systemd-run");
    start.args(["--quiet", "--unit", &unit]);
    for line in UNIT.lines().filter(|line| line.starts_with("KillMode=")) {
        start.args(["--property", line]);
    }
    start.arg(format!("--setenv=KUBECONFIG={}", fixture.kubeconfig.display()));
    start.arg(format!("--setenv=LEASEHOLD_NAMESPACE={}", fixture.namespace));
    start.args([env!("CARGO_BIN_EXE_leasehold"), "lock", "orders", "sh", "-c", script]).arg(&log);

    assert!(start.status().unwrap().success());
    while fs::read_to_string(&log).unwrap_or_default() != "ready\n" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(Command::new("systemctl").args(["stop", &unit]).status().unwrap().success());

    assert_eq!(fs::read_to_string(&log).unwrap(), "ready\nterm\n");
    assert_eq!(fixture.holder("orders").await, None);
}
