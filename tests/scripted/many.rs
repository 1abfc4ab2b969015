//! Many waits of one handle: few watches, and the same speed.

use std::collections::BTreeSet;

use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::{prelude::*, server::Request};

const WAITS: usize = 40;
/// How many names have a watch of their own.
const SINGLE: usize = 4;

/// Locks that `a` holds, each with a waiter of `b`.
struct Waits {
    cluster: Cluster,
    held: Vec<Guard>,
    waiting: Vec<JoinHandle<Guard>>,
    a: Kubernetes,
    b: Kubernetes,
}

impl Waits {
    /// The waits begin one after the other, and have all begun at 20 s.
    async fn begin(cluster: Cluster, waits: usize) -> Self {
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        let mut all = Self { cluster, held: Vec::new(), waiting: Vec::new(), a, b };
        for number in 0..waits {
            all.wait_for(&format!("lock-{number}")).await;
        }
        all.cluster.until(secs(20)).await;
        all
    }

    async fn wait_for(&mut self, name: &str) {
        self.held.push(self.a.lock(name, LockOptions::default()).await.expect("the lock"));
        let (b, name) = (self.b.clone(), name.to_owned());
        let waiting = async move { b.lock(&name, LockOptions::default()).await.expect("the lock") };
        self.waiting.push(tokio::spawn(waiting));
        sleep(millis(10)).await;
    }

    /// Releases every lock at once. Returns how long each waiter needed, in order.
    async fn hand_over(&mut self) -> Vec<Duration> {
        let begun = self.cluster.now();
        let (cluster, waiting) = (&self.cluster, self.waiting.drain(..));
        let got =
            waiting.map(|waiting| async move { (waiting.await.expect("no panic"), cluster.now()) });
        let releases = join_all(self.held.drain(..).map(Guard::release));
        let (released_all, got) = tokio::join!(releases, join_all(got));
        assert!(released_all.iter().all(Result::is_ok));
        self.cluster.assert_no_theft();
        got.into_iter().map(|(guard, at)| (drop(guard), at - begun).1).collect()
    }

    fn watches(&self) -> Vec<Request> {
        let watch = |request: &Request| request.by == "b" && request.verb == "watch";
        self.cluster.requests().into_iter().filter(watch).collect()
    }
}

/// A list or a watch of the whole namespace.
fn of_all(request: &Request) -> bool {
    matches!(request.verb, "list" | "watch") && !request.query.contains_key("fieldSelector")
}

#[tokio::test(start_paused = true)]
async fn many_waits_share_one_watch_of_the_namespace_beyond_the_first_four_names() {
    let mut waits = Waits::begin(Cluster::new(), WAITS).await;

    let watches = waits.watches();
    assert_eq!(watches.len(), SINGLE + 1, "{watches:?}");
    assert_eq!(watches.iter().filter(|request| of_all(request)).count(), 1);
    let lists = waits.cluster.count(of_all) - 1;
    assert_eq!(lists, 1, "each further name costs a list of that name alone");

    for took in waits.hand_over().await {
        assert!(took <= millis(50), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_is_seen_at_once_after_any_interruption_of_the_shared_watch() {
    let faults = [
        ("ends", Play::watch([Feed::Live(secs(9), 1)])),
        ("is reset", Play::watch([Feed::Live(secs(9), 1), Feed::Reset])),
        ("503 at its start", Play::instead(Answer::unavailable())),
        ("is silent for a while", Play::watch([Feed::Silence(secs(9))])),
    ];
    for (what, play) in faults {
        let cluster = Cluster::new();
        cluster.on(When::is(|request| request.verb == "watch" && of_all(request)).once(), play);
        let mut waits = Waits::begin(cluster, 3 * SINGLE).await;

        for took in waits.hand_over().await {
            assert!(took <= millis(50), "{what}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_list_of_one_name_is_repeated() {
    let cluster = Cluster::new();
    let late = |request: &Request| request.verb == "list" && request.name == "lock-9";
    cluster.on(When::is(late).times(2), Play::instead(Answer::unavailable()));
    let mut waits = Waits::begin(cluster, 3 * SINGLE).await;

    assert_eq!(waits.cluster.count(late), 3);
    for took in waits.hand_over().await {
        assert!(took <= millis(50), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_shared_watch_is_restarted_once_although_many_waiters_doubt_it() {
    let cluster = Cluster::new();
    let shared = |request: &Request| request.verb == "watch" && of_all(request);
    cluster.on(When::is(shared).once(), Play::watch([Feed::Silence(secs(300))]));
    let mut waits = Waits::begin(cluster, WAITS).await;

    // Renewals are not seen. Each waiter reads at the end of the TTL, and doubts the watch.
    waits.cluster.until(secs(60)).await;

    assert_eq!(waits.cluster.count(shared), 2, "restarted once");
    for took in waits.hand_over().await {
        assert!(took <= millis(50), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_permission_for_the_namespace_four_names_are_watched_and_the_others_polled() {
    let cluster = Cluster::new();
    cluster.on(When::is(of_all), Play::instead(Answer::forbidden("list", "")));
    let mut waits = Waits::begin(cluster, WAITS).await;

    let took = waits.hand_over().await;

    let (watched, polled) = took.split_at(SINGLE);
    assert!(watched.iter().all(|took| *took <= millis(50)), "{watched:?}");
    assert!(polled.iter().all(|took| *took <= secs(6)), "{polled:?}");
    assert!(waits.cluster.count(of_all) <= 3, "the refused list is rarely repeated");
}

#[tokio::test(start_paused = true)]
async fn new_names_have_watches_of_their_own_again_after_the_first_ones_ended() {
    let mut waits = Waits::begin(Cluster::new(), SINGLE + 1).await;
    waits.hand_over().await;
    sleep(secs(1)).await;
    waits.cluster.forget();

    for number in 0..SINGLE {
        waits.wait_for(&format!("next-{number}")).await;
    }

    let watched: BTreeSet<_> = waits.watches().into_iter().map(|request| request.name).collect();
    assert_eq!(watched.len(), SINGLE, "{watched:?}");
}

#[tokio::test(start_paused = true)]
async fn the_shared_watch_lasts_a_minute_longer_than_its_waits_and_then_begins_again() {
    let mut waits = Waits::begin(Cluster::new(), SINGLE + 1).await;
    let shared = |request: &Request| request.verb == "watch" && of_all(request);
    for round in 0..10 {
        waits.hand_over().await;
        for number in 0..=SINGLE {
            waits.wait_for(&format!("lock-{round}-{number}")).await;
        }
    }
    assert_eq!(waits.cluster.count(shared), 1, "not once for each round");

    waits.hand_over().await;
    waits.cluster.forget();
    sleep(secs(3600)).await;
    assert_eq!(waits.watches().len(), 0, "it has ended");

    for number in 0..=SINGLE {
        waits.wait_for(&format!("again-{number}")).await;
    }
    sleep(secs(1)).await;
    assert_eq!(waits.cluster.count(shared), 1);
    for took in waits.hand_over().await {
        assert!(took <= millis(50), "{took:?}");
    }
}
