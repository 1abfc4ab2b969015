//! The Service that leads to the leader.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::DeleteParams};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    history::Change,
    measured,
    node::{kill_pod, on_node},
    release::{NAME, Release, pod_of},
    samples::{Answer, Sample, Samples},
    until,
};

/// The address of the Service, once it leads to the leader.
pub(crate) async fn to_the_leader(release: &Release) -> String {
    let services: Api<Service> = Api::namespaced(release.client.clone(), &release.namespace);
    let address = services.get(NAME).await.unwrap().spec.unwrap().cluster_ip.unwrap();
    let leader = release.leader().await;
    until("the Service to reach the leader", async || {
        (through(&address).await.as_ref() == Some(&leader)).then_some(())
    })
    .await;
    address
}

/// Sends a request from the node through the Service. Returns the pod that answers, if it reports that it leads.
pub(crate) async fn through(address: &str) -> Option<String> {
    let script = format!("curl --silent --fail --max-time 1 http://{address}/");
    let answer = tokio::task::spawn_blocking(move || on_node(&script)).await.unwrap().ok()?;
    let body: Value = serde_json::from_str(&answer).expect("JSON");
    let id = body["candidate_id"].as_str().expect("an id");
    (body["leader"]["candidate_id"] == id).then(|| pod_of(id).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn the_service_reaches_the_leader_and_after_a_handover_the_next_one() {
    let release = Release::install(&[]).await;
    let (address, leader) = (to_the_leader(&release).await, release.leader().await);

    release.pods().delete(&leader, &DeleteParams::default()).await.unwrap();
    let begun = Instant::now();
    let next = until("another leader", async || {
        release.history.changes().first().map(|change| pod_of(&change.to).to_owned())
    })
    .await;
    let reached = until("the Service to reach the next leader", async || {
        through(&address).await.filter(|pod| *pod == next)
    })
    .await;

    measured(
        "from deletion of the leader's pod to the next one through the Service",
        format!("{:.2?}", begun.elapsed()),
    );
    assert_ne!(reached, leader);
    release.rolled_out().await;
    for _ in 0..20 {
        assert_eq!(through(&address).await.as_ref(), Some(&next), "only the new leader is reached");
        sleep(Duration::from_millis(50)).await;
    }
    release.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn only_the_leader_answers_as_leader_through_the_service_while_its_pod_is_deleted() {
    let release = Release::install(&[]).await;

    sampled(&release, "deleted", async |leader| {
        release.pods().delete(leader, &DeleteParams::default()).await.unwrap();
    })
    .await;

    release.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn only_the_leader_answers_as_leader_through_the_service_while_it_is_killed() {
    let release = Release::install(&[]).await;

    sampled(&release, "killed", async |leader| kill_pod(&release.namespace, leader)).await;

    release.end().await;
}

/// Removes the leader with `take`, and samples the Service from before that until all pods are ready again.
async fn sampled(release: &Release, how: &str, take: impl AsyncFnOnce(&str)) {
    let (address, leader) = (to_the_leader(release).await, release.leader().await);
    let samples = Samples::take(&address);
    until("answers", async || (samples.so_far().len() >= 20).then_some(())).await;

    take(&leader).await;
    let change = until("another leader", async || release.history.changes().first().cloned()).await;
    until("the next leader's answers", async || {
        let led = |sample: &&Sample| sample.answer.token() == Some(change.tokens.1);
        (samples.so_far().iter().filter(led).count() >= 20).then_some(())
    })
    .await;
    release.rolled_out().await;

    let taken = samples.so_far();
    assert_eq!(release.history.changes().len(), 1, "{:?}", release.history.changes());
    only_the_leader(&taken, &change);
    measured(&format!("through the Service, the leader {how}"), gap(&taken, &change));
}

/// Every pod that reported that it leads was the holder of that tenure, at that time.
#[track_caller]
fn only_the_leader(taken: &[Sample], change: &Change) {
    let [old, new] = [(change.tokens.0, &change.from), (change.tokens.1, &change.to)];
    let mut newest = 0;
    for sample in taken {
        let Answer::Leader { token, id } = &sample.answer else { continue };
        assert!(*token >= newest, "tokens go back from {newest}: {sample:?}");
        newest = *token;
        let tenure = [old, new].into_iter().find(|(of, _)| of == token);
        let (_, holder) =
            tenure.unwrap_or_else(|| panic!("the token of no tenure: {sample:?}, {change:?}"));
        assert!(
            id.as_ref().is_none_or(|id| id == holder),
            "the token of another holder: {sample:?}, {change:?}"
        );
        let late = *token == old.0 && sample.asked > change.at;
        assert!(!late, "another pod leads already: {sample:?}, {change:?}");
    }
    let named = |(token, id): (u64, &String)| {
        let whole = Answer::Leader { token, id: Some(id.clone()) };
        taken.iter().any(|sample| sample.answer == whole)
    };
    assert!(named(old) && named(new), "both leaders were reached: {change:?}");
}

/// The time without an answer of a leader, and the part of it without any answer.
fn gap(taken: &[Sample], change: &Change) -> String {
    let led = |token: u64| move |sample: &Sample| sample.answer.token() == Some(token);
    let last = taken.iter().rposition(led(change.tokens.0)).expect("an answer of the old leader");
    let first = taken.iter().position(led(change.tokens.1)).expect("an answer of the new leader");
    let between = &taken[last..=first];
    let after = between.windows(2).map(|pair| (&pair[1], pair[1].answered - pair[0].answered));
    let silent = after.filter(|(sample, _)| sample.answer == Answer::Nothing);
    format!(
        "{:.2?} without a leader, of it {:.2?} unanswered; {} answers in all",
        taken[first].answered - taken[last].answered,
        silent.map(|(_, time)| time).sum::<Duration>(),
        taken.iter().filter(|sample| sample.answer != Answer::Nothing).count(),
    )
}

/// An example, with one sample per second: twice the old leader, no answer, the new leader. The watch sees the new
/// tenure after 2.5 s.
fn example() -> (Vec<Sample>, Change) {
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    let leads = |token, id: &str| Answer::Leader { token, id: Some(id.into()) };
    let answers = [leads(7, "old"), leads(7, "old"), Answer::Nothing, leads(9, "new")];
    let taken = (0..).zip(answers).map(|(time, answer)| Sample {
        asked: at(time),
        answered: at(time) + Duration::from_millis(500),
        answer,
    });
    let change = Change {
        from: "old".into(),
        to: "new".into(),
        freed: true,
        gap: Duration::ZERO,
        tokens: (7, 9),
        at: at(2) + Duration::from_millis(500),
    };
    (taken.collect(), change)
}

#[test]
fn a_correct_handover_passes_and_its_gap_is_measured() {
    let (taken, change) = example();

    only_the_leader(&taken, &change);

    let text = gap(&taken, &change);
    assert_eq!(text, "2.00s without a leader, of it 1.00s unanswered; 3 answers in all");
}

#[test]
#[should_panic(expected = "another pod leads already")]
fn an_old_leader_that_answers_after_the_new_one_was_seen_is_found() {
    let (mut taken, change) = example();
    taken[3].answer = taken[0].answer.clone();

    only_the_leader(&taken, &change);
}

#[test]
#[should_panic(expected = "tokens go back")]
fn two_leaders_that_answer_in_turn_are_found() {
    let (mut taken, change) = example();
    taken.swap(1, 3);

    only_the_leader(&taken, &change);
}

#[test]
#[should_panic(expected = "the token of another holder")]
fn a_pod_that_answers_with_the_token_of_another_is_found() {
    let (mut taken, change) = example();
    taken[1].answer = Answer::Leader { token: 7, id: Some("new".into()) };

    only_the_leader(&taken, &change);
}
