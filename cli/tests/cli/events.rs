//! Kubernetes Events of an election.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use leasehold::Sync as _;
use leasehold_test_support::{ADMIN, Link, Rule};
use rustix::process::Signal;

use crate::{Place, brief};

const ARGS: [&str; 7] = ["elect", "--ttl", "2s", "--events", "--id", "me", "billing"];

impl Place {
    /// The Events there are, in the order in which they came.
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

fn told(events: &[Event]) -> Vec<(&str, &str)> {
    let told = |event| -> (&str, &str) {
        let event: &Event = event;
        (event.reason.as_deref().unwrap(), event.type_.as_deref().unwrap())
    };
    events.iter().map(told).collect()
}

#[tokio::test]
async fn gain_and_resignation_are_recorded_about_the_lease() {
    let place = Place::new().await;
    // Nobody else's tests have a POD_NAME in their environment.
    let program = place.leasehold(ARGS).env("POD_NAME", "").start();
    let elected = place.until_events(1).await;
    let token = place.handle().list_members(leasehold::ListMembersOptions::default()).await;
    let token = token.unwrap()[0].token.unwrap();

    program.signal(Signal::TERM);
    let ended = program.end().await;
    let events = place.events().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(told(&events), [("LeaderElected", "Normal"), ("LeaderLost", "Normal")]);
    let about = elected[0].regarding.clone().unwrap();
    assert_eq!((about.kind.as_deref(), about.name.as_deref()), (Some("Lease"), Some("billing")));
    assert_eq!(about.namespace.as_ref(), Some(&place.namespace));
    let note = elected[0].note.clone().unwrap();
    assert!(note.contains("me leads election billing") && note.contains(&token.to_string()));
    assert_eq!(elected[0].reporting_instance.as_deref(), Some("me"));
}

#[tokio::test]
async fn a_lead_that_runs_out_is_a_warning_about_the_pod() {
    let place = Place::new().await;
    let pod = place.pod("a").await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let program = place
        .leasehold_of(&kubeconfig, ARGS)
        .env("POD_NAME", "a")
        .env("POD_NAMESPACE", &place.namespace)
        .env("POD_UID", pod.metadata.uid.as_ref().unwrap())
        .start();
    place.until_events(1).await;

    proxy.set(Link::BLACK_HOLE);
    let other = place.handle();
    let guard = other.lock("billing", brief()).await.unwrap();
    proxy.reset();
    proxy.set(Link::default());
    let events = place.until_events(2).await;

    assert_eq!(told(&events), [("LeaderElected", "Normal"), ("LeaderLost", "Warning")]);
    let about = events[1].regarding.clone().unwrap();
    assert_eq!((about.kind.as_deref(), about.name.as_deref()), (Some("Pod"), Some("a")));
    assert_eq!(about.uid, pod.metadata.uid);
    assert_eq!(events[1].related.clone().unwrap().name.as_deref(), Some("billing"));
    assert!(guard.is_held(), "nobody has waited for an Event");
    drop(program);
}

#[tokio::test]
async fn an_event_that_may_not_be_recorded_is_told_once_and_nothing_more() {
    let place = Place::new().await;
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&verbs)]).await;
    let kubeconfig = place.plane.kubeconfig("alice");
    let args = ["elect", "--events", "billing", "sh", "-c", "sleep 1; exit 7"];

    let ended = place.leasehold_of(&kubeconfig, args).env("POD_NAME", "").end().await;

    assert_eq!(ended.code, Some(7), "{ended:?}");
    for said in ["create", "events.events.k8s.io", &place.namespace, "`billing`"] {
        assert!(ended.said().contains(said), "{said}: {ended:?}");
    }
}
