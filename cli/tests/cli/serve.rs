//! The sidecar: what it answers, and that no two of them say that they lead.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::{Api, api::DeleteParams};
use leasehold_test_support::{ADMIN, Link, Rule};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{Place, http::Asker, program::Running};

const SIDECAR: [&str; 6] = ["elect", "--ttl", "2s", "--serve", "127.0.0.1:0", "--id"];

impl Place {
    /// A sidecar of this id, and a client of it.
    async fn sidecar(&self, id: &str) -> (Running, Asker) {
        self.sidecar_of(&self.kubeconfig, id, &[]).await
    }

    async fn sidecar_of(
        &self,
        kubeconfig: &std::path::Path,
        id: &str,
        command: &[&str],
    ) -> (Running, Asker) {
        let args = SIDECAR.into_iter().chain([id, "billing"]).chain(command.iter().copied());
        let mut program = self.leasehold_of(kubeconfig, args).start();
        let line = program.complaint().await;
        let url = line.rsplit_once(" on ").unwrap_or_else(|| panic!("{line}")).1;
        let asker = Asker::of(url);
        (program, asker)
    }

    /// A sidecar that leads, and then one that follows.
    async fn pair(&self) -> [(Running, Asker); 2] {
        let first = self.sidecar("first").await;
        first.1.until("/leading", 200).await;
        let second = self.sidecar("second").await;
        second.1.until("/healthz", 200).await;
        [first, second]
    }
}

/// An answer of 200 to `/leading`: it was true at some time between these two.
#[derive(Clone, Copy, Debug)]
struct Led {
    sent: Instant,
    answered: Instant,
    token: u64,
}

async fn led(asker: &Asker) -> Option<Led> {
    let sent = Instant::now();
    let answer = timeout(Duration::from_millis(500), asker.try_get("/leading")).await.ok()??;
    let answered = Instant::now();
    let token = answer.json()["token"].as_u64();
    assert_eq!(token.is_some(), answer.status == 200, "{answer:?}");
    Some(Led { sent, answered, token: token? })
}

/// Asks all of them at once every 100 ms, for `length`.
async fn sample(askers: &[&Asker], length: Duration) -> Vec<Led> {
    let begun = Instant::now();
    let mut all = Vec::new();
    while begun.elapsed() < length {
        let round = join_all(askers.iter().map(|asker| led(asker)));
        let (round, ()) = tokio::join!(round, sleep(Duration::from_millis(100)));
        all.extend(round.into_iter().flatten());
    }
    all
}

/// Fails if a tenure was still said to last when it was asked for after a later one had been told of.
#[track_caller]
fn never_two(all: &[Led]) {
    for old in all {
        let late = all.iter().find(|new| new.token > old.token && new.answered < old.sent);
        assert!(late.is_none(), "{old:?} after {late:?}");
    }
}

#[tokio::test]
async fn a_leader_that_is_killed_and_two_followers_are_never_two_leaders() {
    let place = Place::new().await;
    let [first, second] = place.pair().await;
    let third = place.sidecar("third").await;
    third.1.until("/healthz", 200).await;
    let askers = [&first.1, &second.1, &third.1];

    let killing = async {
        sleep(Duration::from_secs(1)).await;
        first.0.signal(Signal::KILL);
    };
    let (all, ()) = tokio::join!(sample(&askers, Duration::from_secs(7)), killing);

    never_two(&all);
    let mut tokens: Vec<_> = all.iter().map(|led| led.token).collect();
    tokens.dedup();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 2, "one has succeeded the other: {tokens:?}");
    assert!(all.len() > 40, "{} answers", all.len());
}

#[tokio::test]
async fn behind_a_black_hole_it_says_503_before_its_successor_says_200() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let first = place.sidecar_of(&kubeconfig, "first", &[]).await;
    first.1.until("/leading", 200).await;
    let second = place.sidecar("second").await;
    second.1.until("/healthz", 200).await;

    proxy.set(Link::BLACK_HOLE);
    let all = sample(&[&first.1, &second.1], Duration::from_secs(6)).await;
    let health = first.1.get("/healthz").await;
    let leads = second.1.get("/leading").await;
    let stand = first.1.get("/").await.json();
    proxy.set(Link::default());
    proxy.reset();

    never_two(&all);
    assert_eq!(leads.status, 200, "{leads:?}");
    // A server that is away is no reason to restart the candidate, and is told.
    assert_eq!(health.status, 200, "{health:?}");
    assert!(health.json()["error"].as_str().unwrap().contains("unavailable"), "{health:?}");
    assert_ne!(stand["leader"]["id"], "first", "{stand}");
    let healed = first.1.until("/healthz", 200);
    assert!(healed.await.status == 200);
}

#[tokio::test]
async fn stopped_for_longer_than_the_ttl_its_first_answer_is_503() {
    let place = Place::new().await;
    let [first, second] = place.pair().await;

    first.0.signal(Signal::STOP);
    // They wait in its socket, before anything else has had time to run.
    let asked =
        async { tokio::join!(first.1.get("/leading"), first.1.get("/"), first.1.get("/metrics")) };
    let going_on = async {
        let leads = second.1.until("/leading", 200).await;
        first.0.signal(Signal::CONT);
        leads
    };
    let ((leading, stand, metrics), leads) = tokio::join!(asked, going_on);

    assert_eq!(leading.status, 503, "{leading:?}");
    assert_eq!(leading.json(), json!({ "leading": false, "token": null, "remaining_ms": 0 }));
    assert_ne!(stand.json()["leader"]["id"], "first", "{stand:?}");
    assert_ne!(stand.json()["status"], "leading", "{stand:?}");
    assert_eq!(values(&metrics.text)["leasehold_is_leader"], "0");
    assert!(leads.json()["remaining_ms"].as_u64().unwrap() <= 2000, "{leads:?}");
}

#[tokio::test]
async fn events_tell_each_change_once_and_end_with_the_sidecar() {
    let place = Place::new().await;
    let [first, second] = place.pair().await;
    let mut events = second.1.events().await;
    let now = events.next().await.unwrap();
    let same = second.1.get("/").await.json();

    first.0.signal(Signal::TERM);
    let ended = first.0.end().await;
    let mut seen = vec![now.clone()];
    seen.extend(events.until(|event| event["status"] == "leading").await);
    second.0.signal(Signal::TERM);
    let last = events.until(|event| event["status"] == "resigned").await;
    let end = events.next().await;
    let closed = second.0.end().await;

    assert_eq!((&now, &now["leader"]["id"]), (&same, &json!("first")));
    let leads: Vec<_> = seen.iter().map(|event| event["leader"]["id"].clone()).collect();
    assert_eq!(leads.iter().filter(|id| **id == "first").count(), 1, "{seen:?}");
    assert_eq!(leads.last().unwrap(), "second");
    seen.extend(last);
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    assert_eq!((end, closed.code, ended.code), (None, Some(0), Some(0)));
}

/// By name, the values of all series with these names and without other labels than the election's.
fn values(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let series = series.replace("{kind=\"election\",name=\"billing\"", "{").replace("{,", "{");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        (series.replace("{}", ""), value.to_owned())
    });
    series.collect()
}

#[tokio::test]
async fn metrics_show_who_leads_and_how_renewals_went() {
    let place = Place::new().await;
    let [first, second] = place.pair().await;
    sleep(Duration::from_millis(1500)).await;

    let (leader, follower) = tokio::join!(first.1.get("/metrics"), second.1.get("/metrics"));

    let (leads, follows) = (values(&leader.text), values(&follower.text));
    let stored = "leasehold_renewals_total{outcome=\"stored\"}";
    assert_eq!((&*leads["leasehold_is_leader"], &*follows["leasehold_is_leader"]), ("1", "0"));
    assert!(leads[stored].parse::<u64>().unwrap() >= 1, "{leads:?}");
    assert_eq!(leads[stored], leads["leasehold_renewal_duration_seconds_count"]);
    assert_eq!(follows[stored], "0");
    assert_eq!(leads["leasehold_transitions_total{to=\"held\"}"], "1");
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    let deadline: f64 = leads["leasehold_deadline_timestamp_seconds"].parse().unwrap();
    let left = deadline - now;
    assert!((-1.0..2.0).contains(&left), "{left} s to the deadline");
}

#[tokio::test]
async fn a_candidate_that_may_not_compete_any_more_is_unhealthy() {
    let place = Place::new().await;
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&verbs)]).await;
    let kubeconfig = place.plane.kubeconfig("alice");
    let (_program, asker) = place.sidecar_of(&kubeconfig, "first", &[]).await;
    asker.until("/leading", 200).await;
    let healthy = asker.get("/healthz").await;

    let bindings: Api<RoleBinding> = Api::namespaced(place.plane.client(ADMIN), &place.namespace);
    let all = kube::api::ListParams::default();
    bindings.delete_collection(&DeleteParams::default(), &all).await.unwrap();
    let unhealthy = asker.until("/healthz", 503).await;

    assert_eq!((healthy.status, healthy.json()), (200, json!({ "healthy": true, "error": null })));
    let told = unhealthy.json()["error"].as_str().unwrap().to_owned();
    assert!(told.contains("not allowed to") && told.contains(&place.namespace), "{told}");
    assert_eq!(asker.get("/leading").await.status, 503);
}

#[tokio::test]
async fn with_a_command_it_answers_too_and_passes_on_the_exit_code() {
    let place = Place::new().await;
    let script = "echo $LEASEHOLD_TOKEN; read -r line; exit 7";
    let args = ["elect", "--serve", ":0", "billing", "sh", "-c", script];
    let mut program = place.leasehold(args).piped().start();
    let line = program.complaint().await;
    let asker = Asker::of(line.rsplit_once(" on ").unwrap().1);
    let token: u64 = program.line().await.parse().unwrap();

    let leading = asker.get("/leading").await;
    program.say("enough\n").await;
    let ended = program.end().await;

    assert_eq!((leading.status, &leading.json()["token"]), (200, &json!(token)));
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(asker.try_get("/leading").await.is_none(), "closed");
    assert_eq!(place.holder("billing").await, None);
}

#[tokio::test]
async fn on_term_it_stops_to_lead_first_and_ends_in_time_without_a_server() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let args = ["elect", "--ttl", "60s", "--serve", "127.0.0.1:0", "billing"];
    let mut program = place.leasehold_of(&kubeconfig, args).start();
    let line = program.complaint().await;
    let asker = Asker::of(line.rsplit_once(" on ").unwrap().1);
    asker.until("/leading", 200).await;

    proxy.set(Link::BLACK_HOLE);
    let told = Instant::now();
    program.signal(Signal::TERM);
    let gone = asker.until("/leading", 503).await;
    let (heard, holder) = (told.elapsed(), place.holder("billing").await);
    let ended = program.end().await;

    assert_eq!(gone.json()["leading"], Value::Bool(false));
    assert!(heard < Duration::from_secs(2), "{heard:?}");
    assert!(holder.is_some(), "it could not tell yet");
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert!(ended.stderr.contains("could not be resigned from"), "{ended:?}");
}

#[tokio::test]
async fn an_address_in_use_is_told_before_anything_is_joined() {
    let place = Place::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let ended = place.leasehold(["elect", "--serve", &address, "billing"]).end().await;
    let wrong = place.leasehold(["elect", "--serve", "8080", "billing"]).end().await;

    assert_eq!(ended.code, Some(70), "{ended:?}");
    assert!(ended.said().contains(&address) && ended.said().contains("in use"), "{ended:?}");
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    assert!(wrong.stderr.contains(":8080 for every address"), "{wrong:?}");
    assert!(place.leases().get_opt("billing").await.unwrap().is_none(), "nothing was joined");
}
