//! `leasehold elect --events`: Kubernetes Events.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use leasehold::Sync as _;
use leasehold_test_support::{ADMIN, Link, Rule};
use rustix::process::Signal;

use crate::{Fixture, brief};

const ARGS: [&str; 7] = ["elect", "--ttl", "2s", "--events", "--id", "me", "billing"];

impl Fixture {
    /// All Events of the namespace, in the order of their times.
    async fn events(&self) -> Vec<Event> {
        let events: Api<Event> = Api::namespaced(self.plane.client(ADMIN), &self.namespace);
        let mut events = events.list(&ListParams::default()).await.unwrap().items;
        events.sort_by_key(|event| event.event_time.clone().unwrap().0);
        events
    }

    async fn until_events(&self, count: usize) -> Vec<Event> {
        for _ in 0..400 {
            let events = self.events().await;
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no {count} events");
    }
}

fn reasons(events: &[Event]) -> Vec<(&str, &str)> {
    let reason = |event| -> (&str, &str) {
        let event: &Event = event;
        (event.reason.as_deref().unwrap(), event.type_.as_deref().unwrap())
    };
    events.iter().map(reason).collect()
}

#[tokio::test]
async fn a_won_lead_and_a_resignation_are_recorded_about_the_lease() {
    let fixture = Fixture::new().await;
    // The environment of this test may have a POD_NAME.
    let program = fixture.leasehold(ARGS).env("POD_NAME", "").start();
    let elected = fixture.until_events(1).await;
    fixture.until_tokens(1).await;
    let token = fixture.handle().list_members(leasehold::ListMembersOptions::default()).await;
    let token = token.unwrap()[0].token.unwrap();

    program.signal(Signal::TERM);
    let ended = program.end().await;
    let events = fixture.events().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(reasons(&events), [("LeaderElected", "Normal"), ("LeaderLost", "Normal")]);
    let regarding = elected[0].regarding.clone().unwrap();
    assert_eq!(
        (regarding.kind.as_deref(), regarding.name.as_deref()),
        (Some("Lease"), Some("billing"))
    );
    assert_eq!(regarding.namespace.as_ref(), Some(&fixture.namespace));
    let note = elected[0].note.clone().unwrap();
    assert!(note.contains("me leads election billing") && note.contains(&token.to_string()));
    assert_eq!(elected[0].reporting_instance.as_deref(), Some("me"));
}

#[tokio::test]
async fn an_expired_lead_is_a_warning_about_the_pod() {
    let fixture = Fixture::new().await;
    let pod = fixture.pod("a").await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let program = fixture
        .leasehold_of(&kubeconfig, ARGS)
        .env("POD_NAME", "a")
        .env("POD_NAMESPACE", &fixture.namespace)
        .env("POD_UID", pod.metadata.uid.as_ref().unwrap())
        .start();
    fixture.until_events(1).await;

    proxy.set(Link::BLACK_HOLE);
    let other = fixture.handle();
    let guard = other.lock("billing", brief()).await.unwrap();
    proxy.reset();
    proxy.set(Link::default());
    let events = fixture.until_events(2).await;

    assert_eq!(reasons(&events), [("LeaderElected", "Normal"), ("LeaderLost", "Warning")]);
    let regarding = events[1].regarding.clone().unwrap();
    assert_eq!((regarding.kind.as_deref(), regarding.name.as_deref()), (Some("Pod"), Some("a")));
    assert_eq!(regarding.uid, pod.metadata.uid);
    assert_eq!(events[1].related.clone().unwrap().name.as_deref(), Some("billing"));
    assert!(guard.is_held(), "no process waits for an Event");
    drop(program);
}

#[tokio::test]
async fn a_refused_event_is_reported_once_and_has_no_other_effect() {
    let fixture = Fixture::new().await;
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    fixture.plane.allow("alice", &fixture.namespace, &[Rule::leases(&verbs)]).await;
    let kubeconfig = fixture.plane.kubeconfig("alice");
    let args = ["elect", "--events", "billing", "sh", "-c", "sleep 1; exit 7"];

    let ended = fixture.leasehold_of(&kubeconfig, args).env("POD_NAME", "").end().await;

    assert_eq!(ended.code, Some(7), "{ended:?}");
    for text in ["create", "events.events.k8s.io", &fixture.namespace, "`billing`"] {
        assert!(ended.stderr_line().contains(text), "{text}: {ended:?}");
    }
}
