//! Warnings: printed once, and once more when the problem is over.

use leasehold::{LeaderOptions, Sync as _};
use leasehold_test_support::{Link, Proxy};
use rustix::process::Signal;

use crate::{Fixture, program::Running};

/// Expects a warning while the server does not answer, and another line after that.
async fn expect_warning(program: &mut Running, proxy: &Proxy, object: &str) {
    proxy.set(Link::BLACK_HOLE);
    proxy.reset();
    let warning = program.stderr_line().await;
    proxy.set(Link::default());
    let over = program.stderr_line().await;
    assert!(warning.starts_with("leasehold: ") && warning.contains(object), "{warning}");
    assert!(over.contains(object) && over.ends_with("the problem is over"), "{over}");
}

#[tokio::test]
async fn a_candidate_warns_that_it_cannot_compete() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let other = fixture.handle();
    let leader = other.leader("billing", LeaderOptions::default()).await.unwrap();
    let _lead = leader.elected().await.unwrap();
    let mut program = fixture.leasehold_of(&kubeconfig, ["elect", "billing"]).start();
    program.line().await;

    expect_warning(&mut program, &proxy, "election `billing`").await;

    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn a_watch_warns_that_it_gets_no_updates() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["watch", "status"] {
        let fixture = Fixture::new().await;
        let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
        let args: &[&str] = if command == "watch" { &["watch"] } else { &["status", "-w"] };
        let mut program = fixture.leasehold_of(&kubeconfig, args.iter().copied()).start();
        fixture.until_requested("watch", 1).await;
        if command == "watch" {
            let line = program.stderr_line().await;
            assert!(line.contains("there is no lock or election in namespace "), "{line}");
        }

        expect_warning(&mut program, &proxy, "lock or election").await;
    }
}

#[tokio::test]
async fn a_lock_in_doubt_is_reported_and_its_recovery_too() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let args =
        ["lock", "--ttl", "15s", "--grace", "1s", "orders", "sh", "-c", "echo in; read line"];
    let mut program = fixture.leasehold_of(&kubeconfig, args).piped().start();
    program.line().await;

    expect_warning(&mut program, &proxy, "lock `orders`").await;

    program.write_line("out\n").await;
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn quiet_prints_no_warning() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let args = ["lock", "-q", "--ttl", "2s", "orders", "sh", "-c", "echo in; exec sleep 60"];
    let mut program = fixture.leasehold_of(&kubeconfig, args).start();
    program.line().await;

    proxy.set(Link::BLACK_HOLE);
    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(79), ""), "{ended:?}");
}

#[tokio::test]
async fn verbose_logs_the_program_and_twice_verbose_its_http_client() {
    let fixture = Fixture::new().await;

    let once = fixture.leasehold(["lock", "-v", "orders", "true"]).end().await;
    let twice = fixture.leasehold(["lock", "-vv", "orders", "true"]).end().await;

    assert!(once.stderr.contains("acquired") && once.stderr.contains("released"), "{once:?}");
    assert!(!once.stderr.contains("hyper") && !once.stderr.contains("tower"), "{once:?}");
    assert!(twice.stderr.contains("hyper") || twice.stderr.contains("tower"), "{twice:?}");
}
