//! `leasehold elect --serve`: its answers. No two sidecars report a lead at the same time.

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

use crate::{Fixture, client::SidecarClient, program::Running};

const SIDECAR: [&str; 6] = ["elect", "--ttl", "2s", "--serve", "127.0.0.1:0", "--id"];

impl Fixture {
    /// A sidecar with this id, and a client.
    pub(crate) async fn sidecar(&self, id: &str) -> (Running, SidecarClient) {
        self.sidecar_of(&self.kubeconfig, id, &[]).await
    }

    pub(crate) async fn sidecar_of(
        &self,
        kubeconfig: &std::path::Path,
        id: &str,
        command: &[&str],
    ) -> (Running, SidecarClient) {
        let args = SIDECAR.into_iter().chain([id, "billing"]).chain(command.iter().copied());
        let mut program = self.leasehold_of(kubeconfig, args).start();
        let line = program.stderr_line().await;
        let url = line.rsplit_once(" on ").unwrap_or_else(|| panic!("{line}")).1;
        let client = SidecarClient::of(url);
        (program, client)
    }

    /// A sidecar that leads, and a sidecar that follows.
    async fn pair(&self) -> [(Running, SidecarClient); 2] {
        let first = self.sidecar("first").await;
        first.1.until("/leading", 200).await;
        let second = self.sidecar("second").await;
        second.1.until("/healthz", 200).await;
        [first, second]
    }
}

/// An answer 200 of `/leading`. It was true at some time between `sent` and `answered`.
#[derive(Clone, Copy, Debug)]
struct Led {
    sent: Instant,
    answered: Instant,
    token: u64,
}

async fn led(client: &SidecarClient) -> Option<Led> {
    let sent = Instant::now();
    let answer = timeout(Duration::from_millis(500), client.try_get("/leading")).await.ok()??;
    let answered = Instant::now();
    let token = answer.json()["token"].as_u64();
    assert_eq!(token.is_some(), answer.status == 200, "{answer:?}");
    Some(Led { sent, answered, token: token? })
}

/// Requests `/leading` from all sidecars every 100 ms, for `length`.
async fn sample(clients: &[&SidecarClient], length: Duration) -> Vec<Led> {
    let begun = Instant::now();
    let mut all = Vec::new();
    while begun.elapsed() < length {
        let round = join_all(clients.iter().map(|client| led(client)));
        let (round, ()) = tokio::join!(round, sleep(Duration::from_millis(100)));
        all.extend(round.into_iter().flatten());
    }
    all
}

/// Fails if a sidecar reported an old tenure to a request that was sent after an answer with a newer token.
#[track_caller]
fn never_two(all: &[Led]) {
    for old in all {
        let late = all.iter().find(|new| new.token > old.token && new.answered < old.sent);
        assert!(late.is_none(), "{old:?} after {late:?}");
    }
}

#[tokio::test]
async fn after_the_leader_is_killed_there_are_never_two_leaders() {
    let fixture = Fixture::new().await;
    let [first, second] = fixture.pair().await;
    let third = fixture.sidecar("third").await;
    third.1.until("/healthz", 200).await;
    let clients = [&first.1, &second.1, &third.1];

    let killing = async {
        sleep(Duration::from_secs(1)).await;
        first.0.signal(Signal::KILL);
    };
    let (all, ()) = tokio::join!(sample(&clients, Duration::from_secs(7)), killing);

    never_two(&all);
    let mut tokens: Vec<_> = all.iter().map(|led| led.token).collect();
    tokens.dedup();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 2, "two tenures: {tokens:?}");
    assert!(all.len() > 40, "{} answers", all.len());
}

#[tokio::test]
async fn a_leader_without_network_answers_503_before_its_successor_answers_200() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let first = fixture.sidecar_of(&kubeconfig, "first", &[]).await;
    first.1.until("/leading", 200).await;
    let second = fixture.sidecar("second").await;
    second.1.until("/healthz", 200).await;

    proxy.set(Link::BLACK_HOLE);
    let all = sample(&[&first.1, &second.1], Duration::from_secs(6)).await;
    let health = first.1.get("/healthz").await;
    let leads = second.1.get("/leading").await;
    let status = first.1.get("/").await.json();
    proxy.set(Link::default());
    proxy.reset();

    never_two(&all);
    assert_eq!(leads.status, 200, "{leads:?}");
    // The API server is away: the error is reported, but a restart of the candidate would not help.
    assert_eq!(health.status, 200, "{health:?}");
    assert!(health.json()["error"].as_str().unwrap().contains("unavailable"), "{health:?}");
    assert_ne!(status["leader"]["candidate_id"], "first", "{status}");
    let healed = first.1.until("/healthz", 200);
    assert!(healed.await.status == 200);
}

#[tokio::test]
async fn the_first_answer_after_a_long_stop_is_503() {
    let fixture = Fixture::new().await;
    let [first, second] = fixture.pair().await;

    first.0.signal(Signal::STOP);
    // The requests wait in the socket, so they are answered before any other task runs.
    let requests =
        async { tokio::join!(first.1.get("/leading"), first.1.get("/"), first.1.get("/metrics")) };
    let resume = async {
        let leads = second.1.until("/leading", 200).await;
        first.0.signal(Signal::CONT);
        leads
    };
    let ((leading, status, metrics), leads) = tokio::join!(requests, resume);

    assert_eq!(leading.status, 503, "{leading:?}");
    assert_eq!(leading.json(), json!({ "leading": false, "token": null, "remaining_ms": 0 }));
    assert_ne!(status.json()["leader"]["candidate_id"], "first", "{status:?}");
    assert_ne!(status.json()["status"], "leading", "{status:?}");
    assert_eq!(values(&metrics.text)["leasehold_is_leader"], "0");
    assert!(leads.json()["remaining_ms"].as_u64().unwrap() <= 2000, "{leads:?}");
}

#[tokio::test]
async fn events_report_each_change_once_and_end_with_the_sidecar() {
    let fixture = Fixture::new().await;
    let [first, second] = fixture.pair().await;
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

    assert_eq!((&now, &now["leader"]["candidate_id"]), (&same, &json!("first")));
    let leads: Vec<_> = seen.iter().map(|event| event["leader"]["candidate_id"].clone()).collect();
    assert_eq!(leads.iter().filter(|id| **id == "first").count(), 1, "{seen:?}");
    assert_eq!(leads.last().unwrap(), "second");
    seen.extend(last);
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    assert_eq!((end, closed.code, ended.code), (None, Some(0), Some(0)));
}

/// The values of all series, by their names without the labels of the election.
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
async fn metrics_show_the_leader_and_the_renewals() {
    let fixture = Fixture::new().await;
    let [first, second] = fixture.pair().await;
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
async fn metrics_show_the_heartbeats_and_the_queue_of_a_session() {
    let fixture = Fixture::new().await;
    let sidecar = async |id| {
        let args = SIDECAR.into_iter().chain([id, "--queue", "billing"]);
        let mut program = fixture.leasehold(args).start();
        let line = program.stderr_line().await;
        let url = line.rsplit_once(" on ").unwrap_or_else(|| panic!("{line}")).1;
        (program, SidecarClient::of(url))
    };
    let (leader, first) = sidecar("first").await;
    first.until("/leading", 200).await;
    let (_second, second) = sidecar("second").await;
    second.until("/healthz", 200).await;
    sleep(Duration::from_millis(1500)).await;

    let (leads, follows) = tokio::join!(first.get("/metrics"), second.get("/metrics"));
    leader.signal(Signal::TERM);
    second.until("/leading", 200).await;
    let after = values(&second.get("/metrics").await.text);

    let (leads, follows) = (values(&leads.text), values(&follows.text));
    let stored = "leasehold_heartbeats_total{outcome=\"stored\"}";
    let [leads, follows, after] = [leads, follows, after].map(|values| {
        assert!(values[stored].parse::<u64>().unwrap() >= 2, "{values:?}");
        let names = ["is_leader", "queue_length", "wait_duration_seconds_count"];
        names.map(|name| values[&format!("leasehold_{name}")].clone())
    });
    assert_eq!(leads, ["1", "1", "1"], "one candidate waits");
    assert_eq!(follows, ["0", "1", "0"], "it waits itself, and no wait is over");
    assert_eq!(after, ["1", "0", "1"]);
}

#[tokio::test]
async fn a_candidate_without_permission_is_unhealthy() {
    let fixture = Fixture::new().await;
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    fixture.plane.allow("alice", &fixture.namespace, &[Rule::leases(&verbs)]).await;
    let kubeconfig = fixture.plane.kubeconfig("alice");
    let (_program, client) = fixture.sidecar_of(&kubeconfig, "first", &[]).await;
    client.until("/leading", 200).await;
    let healthy = client.get("/healthz").await;

    let bindings: Api<RoleBinding> =
        Api::namespaced(fixture.plane.client(ADMIN), &fixture.namespace);
    let all = kube::api::ListParams::default();
    bindings.delete_collection(&DeleteParams::default(), &all).await.unwrap();
    let unhealthy = client.until("/healthz", 503).await;

    assert_eq!((healthy.status, healthy.json()), (200, json!({ "healthy": true, "error": null })));
    let error = unhealthy.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("not allowed to") && error.contains(&fixture.namespace), "{error}");
    assert_eq!(client.get("/leading").await.status, 503);
}

#[tokio::test]
async fn with_a_command_the_server_answers_and_the_exit_code_is_passed_on() {
    let fixture = Fixture::new().await;
    let script = "echo $LEASEHOLD_TOKEN; read -r line; exit 7";
    let args = ["elect", "--serve", ":0", "billing", "sh", "-c", script];
    let mut program = fixture.leasehold(args).piped().start();
    let line = program.stderr_line().await;
    let client = SidecarClient::of(line.rsplit_once(" on ").unwrap().1);
    let token: u64 = program.line().await.parse().unwrap();

    let leading = client.get("/leading").await;
    program.write_line("enough\n").await;
    let ended = program.end().await;

    assert_eq!((leading.status, &leading.json()["token"]), (200, &json!(token)));
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(client.try_get("/leading").await.is_none(), "closed");
    assert_eq!(fixture.holder("billing").await, None);
}

#[tokio::test]
async fn on_term_it_stops_reporting_a_lead_and_ends_in_time_without_an_api_server() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let args = ["elect", "--ttl", "60s", "--serve", "127.0.0.1:0", "billing"];
    let mut program = fixture.leasehold_of(&kubeconfig, args).start();
    let line = program.stderr_line().await;
    let client = SidecarClient::of(line.rsplit_once(" on ").unwrap().1);
    client.until("/leading", 200).await;

    proxy.set(Link::BLACK_HOLE);
    let signalled = Instant::now();
    program.signal(Signal::TERM);
    let gone = client.until("/leading", 503).await;
    let (stopped_after, holder) = (signalled.elapsed(), fixture.holder("billing").await);
    let ended = program.end().await;

    assert_eq!(gone.json()["leading"], Value::Bool(false));
    assert!(stopped_after < Duration::from_secs(2), "{stopped_after:?}");
    assert!(holder.is_some(), "the release cannot have arrived");
    assert!(signalled.elapsed() < Duration::from_secs(10), "{:?}", signalled.elapsed());
    assert!(ended.stderr.contains("could not resign"), "{ended:?}");
}

#[tokio::test]
async fn an_address_in_use_is_reported_before_the_election_is_joined() {
    let fixture = Fixture::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let ended = fixture.leasehold(["elect", "--serve", &address, "billing"]).end().await;
    let wrong = fixture.leasehold(["elect", "--serve", "8080", "billing"]).end().await;

    assert_eq!(ended.code, Some(70), "{ended:?}");
    assert!(
        ended.stderr_line().contains(&address) && ended.stderr_line().contains("in use"),
        "{ended:?}"
    );
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    assert!(wrong.stderr.contains(":8080 for all addresses"), "{wrong:?}");
    assert!(
        fixture.leases().get_opt("billing").await.unwrap().is_none(),
        "the election was not joined"
    );
}
