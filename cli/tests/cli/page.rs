//! The page: what it is made of, and its button.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::{
    Place,
    http::{Answer, Asker},
    program::{Program, Running},
};

const ASKS: Option<(&str, &str)> = Some(("x-leasehold", "resign"));

impl Place {
    /// A candidate with a page, and a client of it.
    async fn page(&self, id: &str, more: &[&str]) -> (Running, Asker) {
        let args = ["elect", "--ttl", "2s", "--serve", "127.0.0.1:0", "--page", "--id", id];
        served(self.leasehold(args.into_iter().chain(more.iter().copied()))).await
    }
}

async fn served(program: Program) -> (Running, Asker) {
    let mut program = program.start();
    let line = program.complaint().await;
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    let asker = Asker::of(url.unwrap_or_else(|| panic!("{line}")));
    (program, asker)
}

/// What the page shows once `so` holds.
async fn until(asker: &Asker, so: impl Fn(&Value) -> bool) -> Value {
    asker.listen("/state").await.until(so).await.pop().unwrap()
}

async fn resign(asker: &Asker) -> Answer {
    asker.ask("POST", "/resign", ASKS).await.expect("an answer")
}

#[tokio::test]
async fn a_browser_gets_the_page_and_a_program_gets_json() {
    let place = Place::new().await;
    let (_program, asker) = place.page("first", &["billing"]).await;

    let page = asker.ask("GET", "/", Some(("accept", "text/html,*/*;q=0.8"))).await.unwrap();
    let (style, script) = (asker.get("/page.css").await, asker.get("/page.js").await);
    let json = asker.get("/").await;

    assert!(page.text.starts_with("<!doctype html>"), "{page:?}");
    for (answer, kind) in [(&page, "html"), (&style, "css"), (&script, "javascript")] {
        assert_eq!(answer.status, 200, "{kind}");
        assert!(answer.headers["content-type"].to_str().unwrap().contains(kind), "{answer:?}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(!answer.text.contains("https://"), "{kind}: nothing from elsewhere");
    }
    assert_eq!(json.json()["election"], "billing");
}

#[tokio::test]
async fn without_the_option_there_is_no_page_and_no_button() {
    let place = Place::new().await;
    let args = ["elect", "--serve", "127.0.0.1:0", "billing"];
    let (_program, asker) = served(place.leasehold(args)).await;

    let root = asker.ask("GET", "/", Some(("accept", "text/html"))).await.unwrap();

    assert_eq!(root.json()["election"], "billing");
    assert_eq!(asker.get("/state").await.status, 404);
    assert_eq!(resign(&asker).await.status, 404);
}

#[tokio::test]
async fn it_shows_who_leads_for_how_long_and_who_stands() {
    let place = Place::new().await;
    let (_first, first) = place.page("first", &["billing"]).await;
    first.until("/leading", 200).await;
    let (_second, second) = place.page("second", &["billing"]).await;

    let state = until(&second, |state| state["members"].as_array().unwrap().len() == 2).await;

    let leader = &state["leader"];
    assert_eq!((&state["id"], &leader["id"]), (&"second".into(), &"first".into()), "{state}");
    assert_eq!(leader["ttl_seconds"], 2.0);
    assert!((0.0..=2.0).contains(&leader["left_seconds"].as_f64().unwrap()), "{state}");
    let tenure = &state["tenures"][0];
    assert_eq!((&tenure["id"], &tenure["token"]), (&leader["id"], &leader["token"]));
    assert_eq!(tenure["ended_seconds_ago"], Value::Null);
    assert_eq!(state["can_resign"], false, "it was not told where the leader is");
}

#[tokio::test]
async fn the_button_makes_the_leader_resign_and_another_leads() {
    let place = Place::new().await;
    let (_first, first) = place.page("first", &["billing"]).await;
    first.until("/leading", 200).await;
    let (_second, second) = place.page("second", &["--leader-url", &first.url, "billing"]).await;
    let before = until(&second, |state| state["leader"]["id"] == "first").await;

    let foreign = second.ask("POST", "/resign", None).await.unwrap();
    let asked = resign(&second).await;
    let after = until(&second, |state| state["leader"]["id"] == "second").await;

    assert_eq!(foreign.status, 403, "a page from elsewhere cannot send the header");
    assert_eq!((asked.status, &*asked.text), (200, "first has resigned, and stands again\n"));
    assert!(after["leader"]["token"].as_u64() > before["leader"]["token"].as_u64());
    let tenures = after["tenures"].as_array().unwrap();
    let ids: Vec<_> = tenures.iter().map(|tenure| tenure["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["first", "second"]);
    assert!(tenures[0]["ended_seconds_ago"].as_f64() >= tenures[1]["began_seconds_ago"].as_f64());
    // The address of the leader is a Service; here it still is the first, which leads no more.
    let wrong = resign(&first).await;
    assert_eq!(wrong.status, 409, "{wrong:?}");
    assert!(wrong.text.contains("second leads"), "{wrong:?}");
}

#[tokio::test]
async fn what_is_asked_of_a_leader_with_a_command_ends_the_command_first() {
    let place = Place::new().await;
    let command = "echo began by $LEASEHOLD_HOLDER; trap 'echo told to stop; exit' TERM; while :; do sleep 0.05; done";
    let args = ["billing", "--", "sh", "-c", command];
    let (mut first, asker) = place.page("first", &args).await;
    assert_eq!(first.line().await, "began by first");
    let (mut second, other) = place.page("second", &args).await;
    other.until("/healthz", 200).await;
    until(&asker, |state| state["leader"]["id"] == "first").await;

    let answer = resign(&asker).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(first.line().await, "told to stop");
    assert_eq!(second.line().await, "began by second");
    // And back again: the first goes on standing.
    until(&other, |state| state["leader"]["id"] == "second").await;
    until(&other, |state| state["members"].as_array().unwrap().len() == 2).await;
    assert_eq!(resign(&other).await.status, 200);
    assert_eq!(first.line().await, "began by first");
}

#[tokio::test]
async fn the_demonstration_is_on_a_page_without_a_cluster() {
    let demo = Program::new(["demo", "--serve", "127.0.0.1:0"]).env("KUBECONFIG", "/nowhere");
    let (program, asker) = served(demo).await;
    let before = until(&asker, |state| !state["leader"].is_null()).await;
    let leader = before["leader"]["id"].as_str().unwrap().to_owned();

    let answer = resign(&asker).await;
    let after =
        until(&asker, |state| state["leader"]["id"].as_str().is_some_and(|id| id != leader)).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(after["members"].as_array().unwrap().len(), 3);
    program.signal(rustix::process::Signal::TERM);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(program.end().await.code, Some(0));
}
