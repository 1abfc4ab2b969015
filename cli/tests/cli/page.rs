//! `leasehold elect --page`: its files and its button.

use std::time::Duration;

use leasehold_test_support::Link;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    Fixture,
    client::{Answer, SidecarClient},
    program::{Program, Running},
};

const RESIGN: Option<(&str, &str)> = Some(("x-leasehold", "resign"));

impl Fixture {
    /// A candidate with a page, and a client of it.
    async fn page(&self, id: &str, more: &[&str]) -> (Running, SidecarClient) {
        let args = ["elect", "--ttl", "2s", "--serve", "127.0.0.1:0", "--page", "--id", id];
        served(self.leasehold(args.into_iter().chain(more.iter().copied()))).await
    }
}

async fn served(program: Program) -> (Running, SidecarClient) {
    let mut program = program.start();
    let line = program.stderr_line().await;
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    let client = SidecarClient::of(url.unwrap_or_else(|| panic!("{line}")));
    (program, client)
}

/// The first state that satisfies `matches`.
async fn until(client: &SidecarClient, matches: impl Fn(&Value) -> bool) -> Value {
    client.listen("/state").await.until(matches).await.pop().unwrap()
}

async fn resign(client: &SidecarClient) -> Answer {
    client.request("POST", "/resign", RESIGN).await.expect("an answer")
}

#[tokio::test]
async fn a_browser_gets_the_page_and_a_program_gets_json() {
    let fixture = Fixture::new().await;
    let (_program, client) = fixture.page("first", &["billing"]).await;

    let page = client.request("GET", "/", Some(("accept", "text/html,*/*;q=0.8"))).await.unwrap();
    let (style, script) = (client.get("/page.css").await, client.get("/page.js").await);
    let json = client.get("/").await;

    assert!(page.text.starts_with("<!doctype html>"), "{page:?}");
    for (answer, kind) in [(&page, "html"), (&style, "css"), (&script, "javascript")] {
        assert_eq!(answer.status, 200, "{kind}");
        assert!(answer.headers["content-type"].to_str().unwrap().contains(kind), "{answer:?}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(!answer.text.contains("https://"), "{kind}: no other origins");
    }
    assert_eq!(json.json()["election"], "billing");
}

#[tokio::test]
async fn without_the_option_there_is_no_page_and_no_button() {
    let fixture = Fixture::new().await;
    let args = ["elect", "--serve", "127.0.0.1:0", "billing"];
    let (_program, client) = served(fixture.leasehold(args)).await;

    let root = client.request("GET", "/", Some(("accept", "text/html"))).await.unwrap();

    assert_eq!(root.json()["election"], "billing");
    assert_eq!(client.get("/state").await.status, 404);
    assert_eq!(resign(&client).await.status, 404);
}

#[tokio::test]
async fn the_page_shows_the_leader_its_tenure_and_the_members() {
    let fixture = Fixture::new().await;
    let (_first, first) = fixture.page("first", &["billing"]).await;
    first.until("/leading", 200).await;
    let (_second, second) = fixture.page("second", &["billing"]).await;

    let state = until(&second, |state| state["members"].as_array().unwrap().len() == 2).await;

    let leader = &state["leader"];
    assert_eq!(
        (&state["candidate_id"], &leader["candidate_id"]),
        (&"second".into(), &"first".into()),
        "{state}"
    );
    assert_eq!(leader["ttl_seconds"], 2.0);
    assert!((0.0..=2.0).contains(&leader["left_seconds"].as_f64().unwrap()), "{state}");
    let tenure = &state["tenures"][0];
    assert_eq!(
        (&tenure["candidate_id"], &tenure["token"]),
        (&leader["candidate_id"], &leader["token"])
    );
    assert_eq!(tenure["ended_seconds_ago"], Value::Null);
    assert_eq!(state["can_resign"], false, "the URL of the leader is unknown");
}

#[tokio::test]
async fn the_button_makes_the_leader_resign_and_another_leads() {
    let fixture = Fixture::new().await;
    let (_first, first) = fixture.page("first", &["billing"]).await;
    first.until("/leading", 200).await;
    let (_second, second) = fixture.page("second", &["--leader-url", &first.url, "billing"]).await;
    let before = until(&second, |state| state["leader"]["candidate_id"] == "first").await;

    let foreign = second.request("POST", "/resign", None).await.unwrap();
    let resigned = resign(&second).await;
    let after = until(&second, |state| state["leader"]["candidate_id"] == "second").await;

    assert_eq!(foreign.status, 403, "a page of another origin cannot send the header");
    assert_eq!(
        (resigned.status, &*resigned.text),
        (200, "first has resigned, and is a candidate again\n")
    );
    assert!(after["leader"]["token"].as_u64() > before["leader"]["token"].as_u64());
    let tenures = after["tenures"].as_array().unwrap();
    let ids: Vec<_> =
        tenures.iter().map(|tenure| tenure["candidate_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["first", "second"]);
    assert!(tenures[0]["ended_seconds_ago"].as_f64() >= tenures[1]["began_seconds_ago"].as_f64());
    // In a cluster this URL is a Service. Here it still is the first candidate, which does not lead any more. Its view
    // follows by its own watch, and may show no leader for a moment.
    until(&first, |state| state["leader"]["candidate_id"] == "second").await;
    let wrong = resign(&first).await;
    assert_eq!(wrong.status, 409, "{wrong:?}");
    assert!(wrong.text.contains("second leads"), "{wrong:?}");
}

#[tokio::test]
async fn a_page_of_another_origin_neither_sees_the_state_nor_makes_the_leader_resign() {
    let fixture = Fixture::new().await;
    let args = ["--allow-host", "billing.example.com,.shop.svc", "--leader-url"];
    let args = args.into_iter().chain(["http://leader.shop:8080", "billing"]);
    let (_program, client) = fixture.page("first", &args.collect::<Vec<_>>()).await;
    until(&client, |state| state["leader"]["candidate_id"] == "first").await;
    let token = client.get("/leading").await.json()["token"].clone();
    let html = ("accept", "text/html");
    let own = client.address().to_owned();
    let same = format!("http://{own}");

    for headers in [
        [("host", "evil.example"), ("x-leasehold", "resign")],
        [("host", "evil.example:8080"), ("origin", "http://evil.example:8080")],
        [("host", &own), ("origin", "http://evil.example")],
        [("host", &own), ("origin", "http://127.0.0.1:1")],
        [("host", &own), ("sec-fetch-site", "cross-site")],
        [("host", &own), ("sec-fetch-site", "same-site")],
    ] {
        let button = headers.into_iter().chain(RESIGN);
        let resigned = client.request("POST", "/resign", button).await.unwrap();
        let state = client.request("OPTIONS", "/state", headers).await.unwrap();
        assert_eq!((resigned.status, state.status), (403, 403), "{headers:?}");
        assert!(resigned.text.starts_with("refused: "), "{resigned:?}");
    }
    let renamed = client.request("GET", "/", [html, ("host", "evil.example")]).await.unwrap();
    let after = client.get("/leading").await.json()["token"].clone();

    assert_eq!((renamed.status, &after), (403, &token), "{renamed:?}");
    assert!(renamed.text.contains("--allow-host"), "{renamed:?}");
    for headers in [
        [("host", &*own), ("origin", &same)],
        [("host", "localhost:8080"), ("origin", "http://localhost:8080")],
        [("host", "[::1]:8080"), ("sec-fetch-site", "same-origin")],
        [("host", "billing.example.com"), ("sec-fetch-site", "none")],
        [("host", "a.shop.svc:8080"), ("accept", "*/*")],
        [("host", "leader.shop:8080"), ("accept", "*/*")],
    ] {
        let state = client.request("OPTIONS", "/state", headers).await.unwrap();
        assert_eq!(state.status, 200, "{headers:?}");
    }
    // Probes and programs may use any name.
    for path in ["/", "/leading", "/healthz", "/metrics"] {
        let answer = client.request("GET", path, [("host", "first.billing.svc")]).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(resign(&client).await.status, 200);
}

#[tokio::test]
async fn an_old_resign_request_does_not_end_a_later_tenure() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let command = "echo began; trap 'echo got TERM; exit' TERM; while :; do sleep 0.05; done";
    let args = ["elect", "--ttl", "10s", "--serve", "127.0.0.1:0", "--page", "--id", "first"];
    let args = args.into_iter().chain(["billing", "--", "sh", "-c", command]);
    let (mut first, client) = served(fixture.leasehold_of(&kubeconfig, args)).await;
    assert_eq!(first.line().await, "began");
    until(&client, |state| state["leader"]["candidate_id"] == "first").await;

    // The tenure ends before its ttl has passed, so the page still shows the old leader.
    proxy.set(Link::BLACK_HOLE);
    assert_eq!(first.line().await, "got TERM");
    client.until("/leading", 503).await;
    let old = resign(&client);
    let given_up = tokio::time::timeout(Duration::from_millis(300), old).await;
    proxy.set(Link::default());
    proxy.reset();
    assert_eq!(first.line().await, "began");
    let metrics = client.get("/metrics").await.text;

    // A command that is ended at its start prints nothing, so tenures are counted instead.
    let tenures = "leasehold_transitions_total{kind=\"election\",name=\"billing\",to=\"held\"} 2";
    assert!(metrics.lines().any(|line| line == tenures), "{metrics}");
    if let Ok(answer) = given_up {
        assert!(answer.text.contains("first does not lead any more"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_resign_request_ends_the_command_first() {
    let fixture = Fixture::new().await;
    let command = "echo began by $LEASEHOLD_HOLDER; trap 'echo got TERM; exit' TERM; while :; do sleep 0.05; done";
    let args = ["billing", "--", "sh", "-c", command];
    let (mut first, client) = fixture.page("first", &args).await;
    assert_eq!(first.line().await, "began by first");
    let (mut second, other) = fixture.page("second", &args).await;
    other.until("/healthz", 200).await;
    until(&client, |state| state["leader"]["candidate_id"] == "first").await;

    let answer = resign(&client).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(first.line().await, "got TERM");
    assert_eq!(second.line().await, "began by second");
    // And back: the first one is still a candidate.
    until(&other, |state| state["leader"]["candidate_id"] == "second").await;
    until(&other, |state| state["members"].as_array().unwrap().len() == 2).await;
    assert_eq!(resign(&other).await.status, 200);
    assert_eq!(first.line().await, "began by first");
}

#[tokio::test]
async fn the_page_of_the_demonstration_has_the_names_that_it_is_given() {
    let args = ["demo", "--serve", "127.0.0.1:0", "--allow-host", "demo.example.com,.shop.svc"];
    let (_program, client) = served(Program::new(args).env("KUBECONFIG", "/nowhere")).await;

    for (host, status) in [
        ("demo.example.com", 200),
        ("a.shop.svc:8080", 200),
        ("localhost", 200),
        ("evil.example", 403),
    ] {
        let state = client.request("OPTIONS", "/state", [("host", host)]).await.unwrap();
        assert_eq!(state.status, status, "{host}: {state:?}");
    }
    let unserved = Program::new(["demo", "--allow-host", "demo.example.com"]).end().await;
    assert_eq!(unserved.code, Some(64), "{unserved:?}");
}

#[tokio::test]
async fn the_page_of_the_demonstration_needs_no_cluster() {
    let demo = Program::new(["demo", "--serve", "127.0.0.1:0"]).env("KUBECONFIG", "/nowhere");
    let (program, client) = served(demo).await;
    let before = until(&client, |state| !state["leader"].is_null()).await;
    let leader = before["leader"]["candidate_id"].as_str().unwrap().to_owned();

    let answer = resign(&client).await;
    let after = until(&client, |state| {
        state["leader"]["candidate_id"].as_str().is_some_and(|id| id != leader)
    })
    .await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(after["members"].as_array().unwrap().len(), 3);
    program.signal(rustix::process::Signal::TERM);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(program.end().await.code, Some(0));
}
