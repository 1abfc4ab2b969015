//! What is said while something goes on and goes wrong: once, and once more when it is over.

use leasehold::{LeaderOptions, Sync as _};
use leasehold_test_support::{Link, Proxy};
use rustix::process::Signal;

use crate::{Place, program::Running};

/// Behind a server that does not answer it complains; then it does not.
async fn complains(program: &mut Running, proxy: &Proxy, object: &str) {
    proxy.set(Link::BLACK_HOLE);
    proxy.reset();
    let trouble = program.complaint().await;
    proxy.set(Link::default());
    let over = program.complaint().await;
    assert!(trouble.starts_with("leasehold: ") && trouble.contains(object), "{trouble}");
    assert!(over.contains(object) && over.ends_with("the trouble is over"), "{over}");
}

#[tokio::test]
async fn a_candidate_says_that_it_cannot_compete() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let other = place.handle();
    let leader = other.leader("billing", LeaderOptions::default()).await.unwrap();
    let _lead = leader.elected().await.unwrap();
    let mut program = place.leasehold_of(&kubeconfig, ["elect", "billing"]).start();
    program.line().await;

    complains(&mut program, &proxy, "election `billing`").await;

    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn whoever_looks_is_told_that_there_is_no_news() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["watch", "status"] {
        let place = Place::new().await;
        let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
        let args: &[&str] = if command == "watch" { &["watch"] } else { &["status", "-w"] };
        let mut program = place.leasehold_of(&kubeconfig, args.iter().copied()).start();
        place.until_requested("watch", 1).await;

        complains(&mut program, &proxy, "lock or election").await;
    }
}

#[tokio::test]
async fn a_lock_in_doubt_is_said_and_that_it_is_held_as_before() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let args =
        ["lock", "--ttl", "15s", "--grace", "1s", "orders", "sh", "-c", "echo in; read line"];
    let mut program = place.leasehold_of(&kubeconfig, args).piped().start();
    program.line().await;

    complains(&mut program, &proxy, "lock `orders`").await;

    program.say("out\n").await;
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn quiet_is_quiet() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let args = ["lock", "-q", "--ttl", "2s", "orders", "sh", "-c", "echo in; exec sleep 60"];
    let mut program = place.leasehold_of(&kubeconfig, args).start();
    program.line().await;

    proxy.set(Link::BLACK_HOLE);
    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(79), ""), "{ended:?}");
}

#[tokio::test]
async fn verbose_tells_of_this_program_before_the_client_below_it() {
    let place = Place::new().await;

    let once = place.leasehold(["lock", "-v", "orders", "true"]).end().await;
    let twice = place.leasehold(["lock", "-vv", "orders", "true"]).end().await;

    assert!(once.stderr.contains("acquired") && once.stderr.contains("released"), "{once:?}");
    assert!(!once.stderr.contains("hyper") && !once.stderr.contains("tower"), "{once:?}");
    assert!(twice.stderr.contains("hyper") || twice.stderr.contains("tower"), "{twice:?}");
}
