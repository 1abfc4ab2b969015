//! A process whose tasks always want a lock, and another process that wants it too.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::task::JoinSet;

use crate::prelude::*;

/// How long a task works while it has the lock.
const WORK: Duration = millis(50);

/// Tasks of the process `a` that lock, work, and lock again, as long as this lives.
struct Busy {
    a: Arc<Kubernetes>,
    _tasks: JoinSet<()>,
    acquired: Arc<AtomicU32>,
}

impl Busy {
    /// Three tasks, so that one always waits.
    fn new(cluster: &Cluster, ttl: Duration) -> Self {
        let (a, acquired) = (Arc::new(cluster.handle("a")), Arc::<AtomicU32>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..3 {
            let (a, acquired) = (Arc::clone(&a), Arc::clone(&acquired));
            tasks.spawn(async move {
                loop {
                    let guard =
                        a.lock("orders", LockOptions::default().ttl(ttl)).await.expect("the lock");
                    acquired.fetch_add(1, Ordering::Relaxed);
                    sleep(WORK).await;
                    drop(guard);
                }
            });
        }
        Self { a, _tasks: tasks, acquired }
    }
}

/// How long the process `b` waits for the lock, five times. It asks again this long after it had the lock.
async fn waits(cluster: &Cluster, ttl: Duration, idle: Duration) -> Vec<Duration> {
    waits_often(cluster, ttl, idle, 5).await
}

async fn waits_often(
    cluster: &Cluster,
    ttl: Duration,
    idle: Duration,
    often: usize,
) -> Vec<Duration> {
    let b = cluster.handle("b");
    let mut waits = Vec::new();
    for time in (0..5).cycle().take(often) {
        sleep(idle + millis(70) * time).await;
        let asked = cluster.now();
        let wait = LockOptions::default().ttl(ttl).wait(secs(1200));
        let guard = b.lock("orders", wait).await;
        waits.push(cluster.now() - asked);
        drop(guard);
    }
    waits
}

/// A turn, the pause after it, and a race that is left open to a process that is farther away.
fn longest(ttl: Duration) -> Duration {
    ttl + ttl / 5 + ttl / 10
}

const CASES: [(Duration, Duration); 3] =
    [(secs(2), millis(30)), (secs(5), millis(60)), (secs(15), millis(200))];

#[tokio::test(start_paused = true)]
async fn another_process_gets_its_turn_after_one_ttl_however_far_the_server_is() {
    for (ttl, far) in CASES {
        let cluster = Cluster::new();
        cluster.far("a", far);
        cluster.far("b", far);
        let _busy = Busy::new(&cluster, ttl);

        let waits = waits(&cluster, ttl, ttl).await;

        let most = waits.iter().max().copied().unwrap();
        assert!(most <= longest(ttl), "ttl {ttl:?}, {far:?} away: {waits:?}");
        cluster.assert_no_theft();
    }
}

/// Both leave some races open then, so the pause of the busy process must last longer than the other one holds back.
#[tokio::test(start_paused = true)]
async fn another_process_that_asks_again_at_once_gets_its_turn_after_one_ttl() {
    for (ttl, far) in CASES {
        let cluster = Cluster::new();
        cluster.far("a", far);
        cluster.far("b", far);
        let _busy = Busy::new(&cluster, ttl);

        let waits = waits_often(&cluster, ttl, Duration::ZERO, 30).await;

        let most = waits.iter().max().copied().unwrap();
        assert!(most <= longest(ttl), "ttl {ttl:?}, {far:?} away: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_farther_away_gets_its_turn_after_one_ttl() {
    for (ttl, far) in CASES {
        let cluster = Cluster::new();
        cluster.far("a", far / 2);
        cluster.far("b", far);
        let _busy = Busy::new(&cluster, ttl);

        let waits = waits(&cluster, ttl, ttl).await;

        let most = waits.iter().max().copied().unwrap();
        assert!(most <= longest(ttl), "ttl {ttl:?}, {far:?} away: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_ten_times_as_far_away_gets_its_turn_after_sixteen_ttls_and_then_after_one()
 {
    for (ttl, far) in CASES {
        let cluster = Cluster::new();
        cluster.far("a", far / 10);
        cluster.far("b", far);
        let _busy = Busy::new(&cluster, ttl);

        let waits = waits(&cluster, ttl, millis(100)).await;

        assert!(waits[0] <= ttl * 17, "ttl {ttl:?}, {far:?} away: {waits:?}");
        let later = waits[1..].iter().max().copied().unwrap();
        assert!(later <= ttl + ttl / 5, "ttl {ttl:?}, {far:?} away: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_without_a_watch_gets_its_first_turn_after_sixteen_ttls_and_each_later_one_after_two()
 {
    for (ttl, far) in CASES {
        let cluster = Cluster::new();
        cluster.far("a", far);
        cluster.far("b", far);
        let refusal = Answer::forbidden("watch", "orders");
        cluster.on(When::verb("watch").by("b"), Play::instead(refusal));
        let _busy = Busy::new(&cluster, ttl);

        let waits = waits(&cluster, ttl, millis(100)).await;

        // A turn that falls into a short pause by chance may come before the first one that is left to such a process.
        let all = waits.iter().sum::<Duration>();
        assert!(all <= ttl * 17 + ttl * 2 * 4, "ttl {ttl:?}, {far:?} away: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_does_not_last_longer_than_fifteen_seconds_whatever_the_ttl_of_the_next_task_is() {
    let cluster = Cluster::new();
    let _busy = Busy::new(&cluster, secs(86_400));
    let b = cluster.handle("b");
    sleep(secs(1)).await;

    let got = b.lock("orders", wait(secs(20))).await;

    assert!(got.is_ok(), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_cannot_wait_is_answered_during_a_pause() {
    let cluster = Cluster::new();
    cluster.far("a", millis(200));
    let busy = Busy::new(&cluster, secs(15));
    sleep(secs(1)).await;
    let mut slowest = Duration::ZERO;
    while cluster.now() < secs(40) {
        let asked = cluster.now();

        let tried = busy.a.lock("orders", LockOptions::default().try_once()).await;

        assert!(matches!(tried, Err(Error::Held { .. })), "{tried:?}");
        slowest = slowest.max(cluster.now() - asked);
        sleep(millis(70)).await;
    }
    // As long as a request that passes the lock on. A pause is twice as long.
    assert!(slowest <= millis(402), "answered after {slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_steps_down_leaves_the_election_to_others_however_far_the_server_is() {
    for far in [millis(1), millis(300), millis(700)] {
        let cluster = Cluster::new();
        cluster.far("a", far / 2);
        cluster.far("b", far);
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        let first = a.leader("billing", LeaderOptions::default()).await.unwrap();
        let lead = first.elected().await.unwrap();
        let second = b.leader("billing", LeaderOptions::default()).await.unwrap();
        sleep(secs(5)).await;

        drop(lead);

        let next = tokio::time::timeout(secs(10), second.elected()).await;
        assert!(matches!(next, Ok(Ok(_))), "{far:?} away: {next:?}");
    }
}

/// `cargo test --test scripted alone -- --ignored --nocapture`
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
async fn acquisitions_of_a_process_that_is_alone() {
    for (ttl, far) in CASES.into_iter().chain([(secs(15), millis(1)), (secs(2), millis(1))]) {
        let cluster = Cluster::new();
        cluster.far("a", far);
        let busy = Busy::new(&cluster, ttl);
        let mut each = Vec::new();
        for _ in 0..5 {
            let before = busy.acquired.load(Ordering::Relaxed);
            sleep(secs(240)).await;
            cluster.forget();
            each.push(busy.acquired.load(Ordering::Relaxed) - before);
        }
        eprintln!(
            "ttl {ttl:?}, {far:?} away: {} acquisitions in 1,200 s",
            each.iter().sum::<u32>()
        );
    }
}

/// `cargo test --test scripted races -- --ignored --nocapture`
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
async fn races_of_processes_in_a_loop() {
    const NAMES: [&str; 10] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"];
    for count in [2, 10] {
        for work in [millis(5), millis(50)] {
            let cluster = Cluster::new();
            let mut tasks = JoinSet::new();
            for name in &NAMES[..count] {
                cluster.far(name, millis(2));
                let handle = cluster.handle(name);
                tasks.spawn(async move {
                    loop {
                        let guard = take(&handle).await;
                        sleep(work).await;
                        guard.release().await.unwrap();
                    }
                });
            }
            sleep(secs(5)).await;
            cluster.forget();
            let from = cluster.version();
            while cluster.requests().len() < 15_000 && cluster.now() < secs(65) {
                sleep(millis(100)).await;
            }
            print_races(&cluster, from, &NAMES[..count]);
        }
    }
}

fn print_races(cluster: &Cluster, from: u64, names: &[&str]) {
    let commits = cluster.commits_after(from);
    let holder = |value: &Option<Value>| {
        let value = value.as_ref().map(|value| value["spec"]["holderIdentity"].clone());
        value.and_then(|holder| holder.as_str().map(String::from)).unwrap_or_default()
    };
    let mut gaps = Vec::new();
    let mut wins = BTreeMap::<String, usize>::new();
    for pair in commits.windows(2) {
        if holder(&pair[0].after).is_empty() && !holder(&pair[1].after).is_empty() {
            gaps.push(pair[1].at - pair[0].at);
            *wins.entry(holder(&pair[1].after)).or_default() += 1;
        }
    }
    gaps.sort();
    let handed = gaps.len();
    let number = |count: usize| f64::from(u32::try_from(count).expect("a count of requests"));
    let per = |verb: &str| {
        number(cluster.count(|request| request.verb == verb || verb.is_empty())) / number(handed)
    };
    let [all, update, get, list, watch] = ["", "update", "get", "list", "watch"].map(per);
    eprintln!(
        "{} processes: {handed} hand-overs, p50 {:?}, p95 {:?}; for each {all:.1} requests, of these {update:.1} update, \
         {get:.1} get, {list:.1} list, {watch:.1} watch; {:?} to {:?} for one process",
        names.len(),
        gaps[handed / 2],
        gaps[handed * 95 / 100],
        wins.values().min(),
        wins.values().max(),
    );
}
