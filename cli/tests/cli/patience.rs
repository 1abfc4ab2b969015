//! A server that is not there yet: waited for, for as long as the user says.

use std::{
    future::pending,
    net::{SocketAddr, TcpListener as Port},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    response::Response,
};
use futures::future::join_all;
use http::{Method, Request};
use kube::Client;
use leasehold_test_support::{ADMIN, ControlPlane, Link, Proxy, Rule, USERS};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::{
    Fixture,
    client::SidecarClient,
    program::{Ended, Program, Running},
};

/// How long a server is tried without a wait.
const SHORT: Duration = Duration::from_secs(8);
/// Longer than that.
const LONG: Duration = Duration::from_secs(10);

/// How a server is not there yet.
#[derive(Clone, Copy, Debug)]
enum Absence {
    /// Connections are refused.
    Refused,
    /// Connections are accepted, and nothing is answered.
    Silent,
    /// Connections are closed at once, without TLS.
    Closed,
    /// A load balancer without a server, or a server without its database.
    Answer(u16, &'static str),
}

const ABSENCES: [Absence; 5] = [
    Absence::Refused,
    Absence::Silent,
    Absence::Closed,
    Absence::Answer(503, "no healthy upstream"),
    Absence::Answer(
        500,
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcdserver: no leader","code":500}"#,
    ),
];

/// A way to the real API server that is not open yet.
struct Gate {
    kubeconfig: PathBuf,
    url: String,
    way: Way,
    _directory: TempDir,
}

enum Way {
    Refused(SocketAddr, SocketAddr),
    Silent(Proxy),
    Closed(Door, SocketAddr),
    Answer(Front),
}

type Door = Arc<Mutex<Option<SocketAddr>>>;
type Front = Arc<Mutex<Option<(u16, &'static str)>>>;

impl Fixture {
    async fn gate(&self, absence: Absence) -> Gate {
        let server = self.plane.url().strip_prefix("https://").unwrap().parse().unwrap();
        let port = Port::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let (url, way) = match absence {
            Absence::Refused => (format!("https://{address}"), Way::Refused(address, server)),
            Absence::Silent => {
                let proxy = Proxy::start(server).await;
                proxy.set(Link::BLACK_HOLE);
                (proxy.url(), Way::Silent(proxy))
            }
            Absence::Closed => {
                let door = Door::default();
                port.set_nonblocking(true).unwrap();
                tokio::spawn(forward(TcpListener::from_std(port).unwrap(), Arc::clone(&door)));
                (format!("https://{address}"), Way::Closed(door, server))
            }
            Absence::Answer(code, body) => {
                let front = Arc::new(Mutex::new(Some((code, body))));
                port.set_nonblocking(true).unwrap();
                self.serve(TcpListener::from_std(port).unwrap(), Arc::clone(&front));
                (format!("http://{address}"), Way::Answer(front))
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = self.kubeconfig_for(&url, directory.path());
        Gate { kubeconfig, url, way, _directory: directory }
    }

    /// A server that gives one answer to everything, or passes everything on.
    fn serve(&self, listener: TcpListener, front: Front) -> AbortHandle {
        let client = self.plane.client(ADMIN);
        let answer = move |request: Request<Body>| {
            let (client, fixed) = (client.clone(), *front.lock().unwrap());
            async move {
                if let Some((code, body)) = fixed {
                    return Response::builder().status(code).body(Body::from(body)).unwrap();
                }
                pass_on(client, request).await
            }
        };
        let router = Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        serving.abort_handle()
    }
}

pub(crate) async fn pass_on(client: Client, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let answer = client.send(Request::from_parts(head, body.into())).await;
    answer.map_or_else(
        |_| Response::builder().status(502).body(Body::empty()).unwrap(),
        |answer| answer.map(Body::new),
    )
}

/// Forwards connections once the door is open. Until then they are closed.
async fn forward(listener: TcpListener, door: Door) {
    while let Ok((mut client, _)) = listener.accept().await {
        let Some(server) = *door.lock().unwrap() else { continue };
        tokio::spawn(async move {
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await
        });
    }
}

impl Gate {
    async fn open(&self) {
        match &self.way {
            Way::Refused(address, server) => {
                let listener = TcpListener::bind(address).await.unwrap();
                tokio::spawn(forward(listener, Arc::new(Mutex::new(Some(*server)))));
            }
            Way::Silent(proxy) => proxy.set(Link::default()),
            Way::Closed(door, server) => *door.lock().unwrap() = Some(*server),
            Way::Answer(front) => *front.lock().unwrap() = None,
        }
    }

    fn program<'a>(&self, fixture: &Fixture, args: impl IntoIterator<Item = &'a str>) -> Program {
        fixture.leasehold_of(&self.kubeconfig, args)
    }
}

/// Expects that the program still runs after longer than a server is tried without a wait.
async fn expect_patience(program: &mut Running) {
    let ended = program.ended_within(LONG).await;
    assert_eq!(ended, None, "it waits");
}

#[tokio::test]
async fn a_lock_with_a_wait_and_a_candidate_wait_for_the_server() {
    let fixture = Fixture::new().await;
    let outlast = async |index: usize, absence: Absence, args: &[&str]| {
        let gate = fixture.gate(absence).await;
        let name = format!("{}-{index}", args[0]);
        let args = args.iter().copied().chain([name.as_str(), "echo", "in"]);
        let mut program = gate.program(&fixture, args).start();
        let line = program.stderr_line().await;
        expect_patience(&mut program).await;
        gate.open().await;
        let ended = program.end().await;
        let waits = line.contains("waits for the API server") && line.contains(&gate.url);
        assert!(waits && line.contains(&name), "{line}");
        assert_eq!((ended.code, ended.text()), (Some(0), "in\n"), "{absence:?}: {ended:?}");
        assert!(ended.stderr_line().ends_with("the problem is over"), "{absence:?}: {ended:?}");
    };

    let cases = ABSENCES.into_iter().enumerate();
    let all = cases.map(async |(index, absence)| {
        let lock = outlast(index, absence, &["lock", "--wait", "60s"]);
        tokio::join!(lock, outlast(index, absence, &["elect"]))
    });
    join_all(all).await;
}

/// A server that has not loaded its roles yet refuses everything, also the question whether it is ready.
#[tokio::test]
async fn a_request_that_a_server_refuses_while_it_is_not_ready_is_repeated() {
    let fixture = Fixture::new().await;
    let refusal = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"forbidden","code":403}"#;
    let gate = fixture.gate(Absence::Answer(403, refusal)).await;
    let start = |args: [&str; 4]| gate.program(&fixture, args).start();
    let mut programs =
        [start(["lock", "orders", "echo", "in"]), start(["elect", "billing", "echo", "in"])];

    for program in &mut programs {
        assert_eq!(program.ended_within(Duration::from_secs(2)).await, None, "it tries again");
    }
    gate.open().await;

    for ended in join_all(programs.map(Running::end)).await {
        assert_eq!((ended.code, ended.text()), (Some(0), "in\n"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_refused_request_is_not_repeated_for_longer_than_the_user_waits() {
    let fixture = Fixture::new().await;
    let refusal = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"forbidden","code":403}"#;
    let gate = fixture.gate(Absence::Answer(403, refusal)).await;
    let cases: [(&[&str], u64); 3] = [
        (&["lock", "--try", "orders", "true"], 0),
        (&["lock", "--wait=2s", "orders", "true"], 2),
        (&["elect", "--wait-for-server=2s", "billing", "true"], 2),
    ];

    let ends = cases.map(|(args, wait)| {
        let program = gate.program(&fixture, args.iter().copied());
        async move {
            let begun = Instant::now();
            (Duration::from_secs(wait), program.end().await, begun.elapsed())
        }
    });

    for (wait, ended, after) in join_all(ends).await {
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!((wait..wait + Duration::from_secs(3)).contains(&after), "{after:?}: {ended:?}");
        let line = ended.stderr_line();
        assert!(line.contains("forbidden") && !line.contains("instead of --try"), "{line}");
    }
}

/// A server that lets no request through because a webhook fails is there.
#[tokio::test]
async fn a_webhook_that_fails_is_not_taken_for_an_absent_server() {
    let fixture = Fixture::new().await;
    let failure = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Internal error occurred: failed calling webhook \"w.example\"","reason":"InternalError","code":500}"#;
    let gate = fixture.gate(Absence::Answer(500, failure)).await;
    let mut program = gate.program(&fixture, ["elect", "billing", "true"]).start();

    let line = program.stderr_line().await;
    program.signal(Signal::TERM);

    assert!(line.contains("waits for a webhook of the API server"), "{line}");
    assert!(line.contains("w.example") && line.contains(&gate.url), "{line}");
    assert_eq!(program.end().await.code, Some(143));
}

#[tokio::test]
async fn while_the_server_is_absent_the_sidecar_is_healthy_and_does_not_lead() {
    let fixture = Fixture::new().await;
    let gate = fixture.gate(Absence::Refused).await;
    let pod = fixture.pod("a").await.metadata;
    let args = ["elect", "--serve", "127.0.0.1:0", "--page", "--label-leader", "billing"];
    let program = gate.program(&fixture, args).env("POD_NAME", pod.name.unwrap());
    let mut program = program.env("POD_NAMESPACE", &fixture.namespace).start();
    let line = program.stderr_line().await;
    let client = SidecarClient::of(line.rsplit_once(" on ").unwrap().1);

    let health = client.until("/healthz", 200).await;
    let (status, leading) = (client.get("/").await, client.get("/leading").await);
    expect_patience(&mut program).await;
    let (later, unready) = (client.get("/healthz").await, client.get("/readyz").await);
    gate.open().await;
    client.until("/leading", 200).await;
    let ready = client.get("/readyz").await;
    program.signal(Signal::TERM);

    assert!(health.json()["error"].as_str().unwrap().contains("unavailable"), "{health:?}");
    assert_eq!((later.status, &later.json()["healthy"]), (200, &true.into()), "{later:?}");
    assert_eq!((status.status, leading.status), (200, 503));
    // A rollout must not go on to the next pod as long as this one has never reached the server.
    assert_eq!((unready.status, ready.status), (503, 200), "{unready:?}");
    let ended = program.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in ["waits for the API server", "the page cannot show the leader"] {
        assert_eq!(ended.stderr.matches(line).count(), 1, "{line}: {ended:?}");
    }
}

/// As with an admission webhook for pods that hangs: longer than one attempt waits.
#[tokio::test]
async fn a_label_that_cannot_be_removed_at_the_start_is_reported_with_its_cause() {
    let fixture = Fixture::new().await;
    let client = fixture.plane.client(ADMIN);
    let answer = move |request: Request<Body>| {
        let client = client.clone();
        async move {
            if request.method() == Method::PATCH {
                return pending().await;
            }
            pass_on(client, request).await
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = fixture.kubeconfig_for(&url, directory.path());

    let args = ["elect", "--label-leader", "--pod", "a", "billing", "true"];
    let mut program = fixture.leasehold_of(&kubeconfig, args).start();
    let line = program.stderr_line().await;

    assert!(line.contains("of pod `a`") && line.contains("no answer in time"), "{line}");
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(143));
}

#[tokio::test]
async fn a_real_api_server_that_starts_later_is_waited_for() {
    let plane = ControlPlane::start().await;
    if !plane.own() {
        return;
    }
    let namespace = plane.namespace().await;
    let (admin, alice) = (plane.kubeconfig(ADMIN), plane.kubeconfig(USERS[0]));
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    plane.allow(USERS[0], &namespace, &[Rule::leases(&verbs)]).await;
    plane.kill_apiserver();
    let start = |kubeconfig: &PathBuf, args: [&str; 5]| {
        let program = Program::new(args).env("KUBECONFIG", kubeconfig.to_str().unwrap());
        program.env("LEASEHOLD_NAMESPACE", &namespace).start()
    };
    let mut programs: Vec<Running> = Vec::new();
    for (user, kubeconfig) in [("admin", &admin), ("alice", &alice)] {
        programs.push(start(kubeconfig, ["lock", "--wait=60s", user, "echo", "in"]));
        programs
            .push(start(kubeconfig, ["elect", "--ttl=15s", &format!("e-{user}"), "echo", "in"]));
    }

    join_all(programs.iter_mut().map(Running::stderr_line)).await;
    plane.restart_apiserver().await;
    let ended = join_all(programs.into_iter().map(Running::end)).await;

    for ended in ended {
        assert_eq!((ended.code, ended.text()), (Some(0), "in\n"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_wait_that_ends_without_a_server_ends_with_69() {
    let fixture = Fixture::new().await;
    let gate = fixture.gate(Absence::Refused).await;
    let directory = tempfile::tempdir().unwrap();
    let unknown = fixture.kubeconfig_for("https://leasehold.invalid:6443", directory.path());
    let lock = ["lock", "--wait", "10s", "orders", "true"];
    let elect = ["elect", "--wait-for-server", "10s", "billing", "true"];

    let begun = Instant::now();
    let waits = [
        gate.program(&fixture, lock),
        gate.program(&fixture, elect),
        fixture.leasehold_of(&unknown, lock),
        fixture.leasehold_of(&unknown, elect),
    ];
    let short = gate.program(&fixture, ["lock", "--wait", "1s", "orders", "true"]).end().await;
    let short_after = begun.elapsed();
    let timed = waits.map(|program| async { (program.end().await, begun.elapsed()) });
    let quiet = gate.program(&fixture, ["elect", "-q", "--wait-for-server=4s", "billing"]).end();
    let (timed, quiet) = tokio::join!(join_all(timed), quiet);

    assert_eq!(short.code, Some(69), "{short:?}");
    assert!(short_after < SHORT, "{short_after:?}");
    assert_eq!((quiet.code, &*quiet.stderr), (Some(69), ""), "{quiet:?}");
    for (ended, after) in timed {
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!((LONG..LONG * 2).contains(&after), "{after:?}: {ended:?}");
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "one line while waiting, one at the end: {ended:?}");
    }
}

#[tokio::test]
async fn refused_credentials_missing_rights_and_other_servers_end_the_wait_within_seconds() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let own = std::fs::read_to_string(&fixture.kubeconfig).unwrap();
    let unknown = directory.path().join("unknown");
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&own).unwrap();
    kubeconfig["users"][0]["user"]["token"] = "wrong".into();
    std::fs::write(&unknown, kubeconfig.to_string()).unwrap();
    let page = fixture.gate(Absence::Answer(200, "<html>Sign in</html>")).await;
    let elsewhere = fixture.gate(Absence::Answer(404, "404 page not found")).await;
    let cases = [
        ("credentials", unknown, SHORT),
        ("not allowed", fixture.plane.kubeconfig(USERS[0]), SHORT),
        ("not an API server", page.kubeconfig.clone(), LONG * 2),
        ("not an API server", elsewhere.kubeconfig.clone(), LONG * 2),
    ];

    let mut ends = Vec::new();
    for (text, kubeconfig, limit) in cases {
        for args in
            [["lock", "--wait=60s", "orders", "true"], ["elect", "--ttl=15s", "billing", "true"]]
        {
            let program = fixture.leasehold_of(&kubeconfig, args);
            ends.push(async move {
                let begun = Instant::now();
                let ended: Ended = program.end().await;
                (text, limit, begun.elapsed(), ended)
            });
        }
    }

    for (text, limit, after, ended) in join_all(ends).await {
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(after < limit, "{after:?}: {ended:?}");
        assert!(ended.stderr.lines().last().unwrap().contains(text), "{text}: {ended:?}");
    }
}

#[tokio::test]
async fn a_signal_ends_the_wait_for_a_server() {
    let fixture = Fixture::new().await;
    let gate = fixture.gate(Absence::Refused).await;
    let stop = async |args: [&str; 4]| {
        let mut program = gate.program(&fixture, args).start();
        program.stderr_line().await;
        program.signal(Signal::TERM);
        program.ended_within(LONG).await
    };

    let lock = stop(["lock", "--wait=60s", "orders", "true"]);
    let elect = stop(["elect", "--ttl=15s", "billing", "true"]);

    assert_eq!(tokio::join!(lock, elect), (Some(Some(143)), Some(Some(143))));
}
