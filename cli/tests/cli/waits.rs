//! Errors that keep a command waiting after the server has answered once: one line, and one more when they are over.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use futures::future::join_all;
use http::{Method, Request};
use leasehold::{LockOptions, Sync as _};
use leasehold_test_support::{ADMIN, Link};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{Fixture, patience::pass_on, program::Running};

const NO_SPACE: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcdserver: mvcc: database space exceeded","code":500}"#;

type Fault = fn(&Request<Body>) -> Option<(u16, &'static str)>;

/// A full etcd serves reads, and dry runs pass.
fn no_space(request: &Request<Body>) -> Option<(u16, &'static str)> {
    let writes = request.method() != Method::GET && request.uri().path().contains("/leases");
    let is_dry = request.uri().query().is_some_and(|query| query.contains("dryRun"));
    (writes && !is_dry).then_some((500, NO_SPACE))
}

/// A service that is no API server.
#[expect(clippy::unnecessary_wraps, reason = "it is a fault of any request")]
fn empty_object(_: &Request<Body>) -> Option<(u16, &'static str)> {
    Some((200, "{}"))
}

/// The real API server with a fault.
struct Faulty {
    has_fault: Arc<AtomicBool>,
    kubeconfig: PathBuf,
    _directory: TempDir,
}

impl Faulty {
    async fn start(fixture: &Fixture, fault: Fault) -> Self {
        let (client, has_fault) = (fixture.plane.client(ADMIN), Arc::new(AtomicBool::new(true)));
        let faulty = Arc::clone(&has_fault);
        let answer = move |request: Request<Body>| {
            let client = client.clone();
            let answer = fault(&request).filter(|_| faulty.load(Ordering::Relaxed));
            async move {
                let Some((code, body)) = answer else { return pass_on(client, request).await };
                Response::builder().status(code).body(Body::from(body)).unwrap()
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = fixture.kubeconfig_for(&url, directory.path());
        Self { has_fault, kubeconfig, _directory: directory }
    }

    fn start_program(&self, fixture: &Fixture, args: &[&'static str]) -> Running {
        fixture.leasehold_of(&self.kubeconfig, args.iter().copied()).start()
    }

    fn mend(&self) {
        self.has_fault.store(false, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_wait_for_a_server_that_reads_but_does_not_store_is_reported_and_its_end_too() {
    let fixture = Fixture::new().await;
    let server = Faulty::start(&fixture, no_space).await;
    let mut quiet = server.start_program(&fixture, &["lock", "-q", "quiet", "true"]);
    let commands: [&[&str]; 3] = [
        &["lock", "orders", "echo", "in"],
        &["lock", "--wait=60s", "orders-2", "echo", "in"],
        &["elect", "billing", "echo", "in"],
    ];
    let mut programs = commands.map(|args| server.start_program(&fixture, args));

    let lines = join_all(programs.iter_mut().map(Running::stderr_line)).await;
    let still = quiet.ended_within(Duration::ZERO).await;
    server.mend();
    let ended = join_all(programs.map(Running::end)).await;
    let quiet = quiet.end().await;

    assert_eq!((still, quiet.code, &*quiet.stderr), (None, Some(0), ""), "{quiet:?}");
    let objects = ["lock `orders`", "lock `orders-2`", "election `billing`"];
    for ((line, ended), object) in lines.iter().zip(ended).zip(objects) {
        let begin = format!("leasehold: {object} has to wait");
        assert!(line.starts_with(&begin) && line.contains("database space exceeded"), "{line}");
        assert_eq!((ended.code, ended.text()), (Some(0), "in\n"), "{ended:?}");
        let over = format!("leasehold: {object}: the problem is over");
        assert_eq!(ended.stderr_line(), over);
    }
}

#[tokio::test]
async fn a_server_that_goes_away_while_a_lock_is_waited_for_is_reported_and_its_return_too() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let handle = fixture.handle();
    let guard = handle.lock("orders", LockOptions::default()).await.unwrap();
    let mut program = fixture.leasehold_of(&kubeconfig, ["lock", "orders", "echo", "in"]).start();

    // The first probe is answered before that.
    let held = program.stderr_line().await;
    assert!(held.contains("is waited for: held by"), "{held}");
    proxy.set(Link::BLACK_HOLE);
    proxy.reset();
    let line = program.stderr_line().await;
    proxy.set(Link::default());
    let over = program.stderr_line().await;
    guard.release().await.unwrap();
    let ended = program.end().await;

    assert!(line.contains("lock `orders` has to wait: ") && line.contains("no answer"), "{line}");
    assert!(over.ends_with("lock `orders`: the problem is over"), "{over}");
    assert_eq!((ended.code, ended.text()), (Some(0), "in\n"), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

#[tokio::test]
async fn a_service_that_answers_everything_with_an_empty_object_is_reported() {
    let fixture = Fixture::new().await;
    let server = Faulty::start(&fixture, empty_object).await;
    let mut programs = [
        server.start_program(&fixture, &["lock", "orders", "true"]),
        server.start_program(&fixture, &["elect", "billing", "true"]),
    ];

    let lines = join_all(programs.iter_mut().map(Running::stderr_line)).await;
    for program in &programs {
        program.signal(Signal::TERM);
    }

    for (line, program) in lines.iter().zip(programs) {
        let ended = program.end().await;
        assert!(line.contains("has to wait: the kubernetes backend is unavailable: "), "{line}");
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(143), 0), "{ended:?}");
    }
}
