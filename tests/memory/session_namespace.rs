//! Sessions in a namespace of their own.

use std::time::Duration;

use leasehold::{Fault, Guard, LockOptions, Memory, Options, Session, SessionOptions, Sync as _};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_millis(100);
/// Longer than any takeover.
const LONG: Duration = Duration::from_secs(600);

/// A session of another process, in this namespace.
async fn session(memory: &Memory, namespace: Option<&str>) -> (Memory, Session) {
    let process = memory.another(Options::default()).expect("valid options");
    let mut options = SessionOptions::default();
    options.namespace = namespace.map(ToOwned::to_owned);
    let session = process.session(options).await.expect("a session");
    (process, session)
}

fn wait(session: &Session) -> JoinHandle<leasehold::Result<Guard>> {
    let session = session.clone();
    tokio::spawn(async move { session.lock("orders", LockOptions::default()).await })
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_handed_over_and_taken_over_between_sessions_of_one_namespace() {
    let memory = Memory::default();
    let (first, one) = session(&memory, Some("sessions")).await;
    let (_second, two) = session(&memory, Some("sessions")).await;
    let (_third, three) = session(&memory, Some("sessions")).await;
    let guard = one.lock("orders", LockOptions::default()).await.unwrap();
    let next = wait(&two);
    sleep(SOON).await;

    guard.release().await.unwrap();
    let guard = timeout(SOON, next).await.unwrap().unwrap().unwrap();
    let last = wait(&one);
    sleep(SOON).await;
    guard.release().await.unwrap();
    let guard = timeout(SOON, last).await.unwrap().unwrap().unwrap();
    let after_crash = wait(&three);
    sleep(SOON).await;
    first.disturb(Some(Fault::LoseRequest));
    let taken_over = timeout(Duration::from_secs(20), after_crash).await.unwrap().unwrap().unwrap();

    assert!(taken_over.is_held() && !guard.is_held());
    assert!(taken_over.token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn the_session_after_a_loss_is_in_the_same_namespace() {
    let memory = Memory::default();
    let (first, one) = session(&memory, Some("sessions")).await;
    let (_second, two) = session(&memory, Some("sessions")).await;
    let (before, guard) = (one.id(), one.lock("orders", LockOptions::default()).await.unwrap());
    let next = wait(&two);
    sleep(SOON).await;

    // The other session ends it meanwhile.
    first.disturb(Some(Fault::LoseRequest));
    let next = timeout(Duration::from_secs(20), next).await.unwrap().unwrap().unwrap();
    first.disturb(None);
    let again = wait(&one);
    sleep(Duration::from_secs(10)).await;
    next.release().await.unwrap();
    let again = timeout(SOON, again).await.unwrap().unwrap().unwrap();

    assert!(again.is_held() && !guard.is_held());
    let tag = |id: &str| id.split('-').nth(2).map(str::to_owned);
    assert_ne!(one.id(), before);
    assert!(tag(&before).is_some() && tag(&one.id()) == tag(&before), "{before} {}", one.id());
}

#[tokio::test(start_paused = true)]
async fn a_session_is_never_ended_by_one_that_looks_for_it_in_another_namespace() {
    for namespaces in [(Some("sessions"), None), (None, Some("sessions")), (Some("a"), Some("b"))] {
        let memory = Memory::default();
        let (_first, one) = session(&memory, namespaces.0).await;
        let (_second, two) = session(&memory, namespaces.1).await;
        let guard = one.lock("orders", LockOptions::default()).await.unwrap();
        let next = wait(&two);

        sleep(LONG).await;
        assert!(guard.is_held() && !next.is_finished(), "{namespaces:?}: it is not taken over");

        guard.release().await.unwrap();
        let next = timeout(SOON, next).await.unwrap().unwrap().unwrap();
        assert!(next.is_held(), "{namespaces:?}: a release hands it over all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_only_a_session_of_the_same_namespace_passes_the_dead_one_over() {
    let memory = Memory::default();
    let (first, one) = session(&memory, Some("sessions")).await;
    let (_second, two) = session(&memory, None).await;
    let guard = one.lock("orders", LockOptions::default()).await.unwrap();
    let strange = wait(&two);
    sleep(SOON).await;

    first.disturb(Some(Fault::LoseRequest));
    sleep(LONG).await;
    assert!(!guard.is_held() && !strange.is_finished());
    let (_third, three) = session(&memory, Some("sessions")).await;
    let last = wait(&three);

    let passed = timeout(Duration::from_secs(60), strange).await.unwrap().unwrap().unwrap();
    assert!(passed.is_held() && !last.is_finished(), "the order stays");
    passed.release().await.unwrap();
    assert!(timeout(SOON, last).await.unwrap().unwrap().unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn the_namespace_of_the_handle_is_no_namespace_of_its_own() {
    let memory = Memory::new(Options::default().namespace("shop")).unwrap();
    let plain = memory.session(SessionOptions::default()).await.unwrap();
    let named = memory.session(SessionOptions::default().namespace("shop")).await.unwrap();

    assert_eq!(plain.id().split('-').count(), named.id().split('-').count());
    let wrong = memory.session(SessionOptions::default().namespace("no/name")).await.unwrap_err();
    assert!(wrong.to_string().contains("namespace"), "{wrong}");
}
