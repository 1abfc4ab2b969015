//! Log events of contenders.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
};

use leasehold::{Fault, LeaderOptions, LockOptions, SessionOptions, Sync as _};
use tokio::time::sleep;
use tracing::{Dispatch, level_filters::LevelFilter};

use crate::{hold, pair, secs, soon};

/// The captured log.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures events of `level` and above on this thread, until the guard is dropped.
    fn at(level: LevelFilter) -> (Self, tracing::subscriber::DefaultGuard) {
        // A process with one subscriber caches whether an event is enabled, as the first thread that emits it sees it.
        // A parallel test without a subscriber would disable the event for all. A second subscriber prevents that.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| {
            Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish())
        });
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        let log = self.0.lock().expect("no thread panics while it writes").clone();
        String::from_utf8(log).expect("the log is UTF-8")
    }

    /// The lines that contain `with`.
    fn lines(&self, with: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no thread panics while it writes").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn normal_operation_logs_nothing_above_debug() {
    let (log, _subscribed) = Log::at(LevelFilter::INFO);
    let (a, b) = pair();

    let (first, next) = (hold(&a).await, a.lock("x", LockOptions::default()));
    sleep(secs(60)).await;
    first.release().await.unwrap();
    drop(soon(next).await.unwrap());
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let follower = b.leader("e", LeaderOptions::default()).await.unwrap();
    sleep(secs(120)).await;
    leader.resign().await.unwrap();
    drop(soon(follower.elected()).await.unwrap());
    follower.resign().await.unwrap();

    assert_eq!(log.text(), "");
}

#[tokio::test(start_paused = true)]
async fn each_change_of_a_tenure_is_logged_once() {
    let (log, _subscribed) = Log::at(LevelFilter::TRACE);
    let (a, _b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    sleep(secs(12)).await;
    drop(guard);
    leader.resign().await.unwrap();

    for (change, times) in [("acquired", 1), ("elected", 1), (" renewed ", 2), ("released", 1)] {
        assert_eq!(log.lines(change).len(), times, "{change}: {}", log.text());
    }
    assert!(
        log.lines("acquired")[0].contains("DEBUG") && log.lines("renewed")[0].contains("TRACE")
    );
    assert!(log.lines("released")[0].contains("kind=election"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn doubt_and_loss_are_logged_as_warnings() {
    let (log, _subscribed) = Log::at(LevelFilter::INFO);
    let (a, _b) = pair();
    let guard = hold(&a).await;

    a.disturb(Some(Fault::LoseRequest));
    sleep(secs(9)).await;
    a.disturb(None);
    sleep(secs(9)).await;
    a.disturb(Some(Fault::LoseRequest));
    guard.lost().await;
    sleep(secs(1)).await;

    let lines: Vec<_> = log.text().lines().map(str::to_owned).collect();
    let [doubt, fine, again, lost] = &lines[..] else { panic!("{}", log.text()) };
    for line in [doubt, again] {
        assert!(line.contains("WARN") && line.contains("in doubt: a renewal is overdue"), "{line}");
    }
    assert!(fine.contains("INFO") && fine.contains("no longer in doubt"), "{fine}");
    assert!(lost.contains("WARN") && lost.contains("lost") && lost.contains("within the hold"));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_keeps_a_caller_waiting_is_logged_once_and_its_end_too() {
    let (log, _subscribed) = Log::at(LevelFilter::WARN);
    let (a, b) = pair();
    let options = LockOptions::default();

    a.disturb(Some(Fault::LoseRequest));
    b.disturb(Some(Fault::LoseRequest));
    let (waits, leaves) = (a.lock("x", options), b.lock("y", options.wait(secs(60))));
    let (guard, left, ()) = tokio::join!(waits, leaves, async {
        sleep(secs(2)).await;
        assert_eq!(log.text(), "", "it may be over soon");
        sleep(secs(600)).await;
        a.disturb(None);
        b.disturb(None);
    });
    drop((guard.unwrap(), left.unwrap_err()));

    let mut lines = log.lines("");
    assert_eq!(lines.len(), 3, "{}", log.text());
    // The attempts of two handles have no order.
    lines[..2].sort();
    for (line, name) in lines.iter().zip(["`x`", "`y`"]) {
        let is_warning = line.contains("WARN") && line.contains("has to wait: ");
        assert!(is_warning && line.contains(name) && line.contains("no answer"), "{line}");
    }
    assert!(lines[2].contains("lock `x`: the problem is over"), "{}", lines[2]);
}

#[tokio::test(start_paused = true)]
async fn a_lasting_failure_is_logged_once() {
    let (log, _subscribed) = Log::at(LevelFilter::WARN);
    let (a, b) = pair();
    let leads = a.leader("billing", LeaderOptions::default().ttl(secs(15))).await.unwrap();
    let guard = leads.elected().await.unwrap();
    let follows = b.leader("billing", LeaderOptions::default().ttl(secs(15))).await.unwrap();

    for _ in 0..2 {
        b.disturb(Some(Fault::Refuse));
        sleep(secs(600)).await;
        b.disturb(None);
        sleep(secs(600)).await;
    }

    let text = log.text();
    assert!((1..=4).contains(&text.lines().count()), "{text}");
    drop((guard, follows));
}

#[tokio::test(start_paused = true)]
async fn a_session_warns_of_failures_that_last_and_of_each_tenure_that_it_loses() {
    let (log, _subscribed) = Log::at(LevelFilter::WARN);
    let (a, b) = pair();
    let one = a.session(SessionOptions::default()).await.unwrap();
    let two = b.session(SessionOptions::default()).await.unwrap();
    let held = one.lock("x", LockOptions::default()).await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(log.text(), "");

    a.disturb(Some(Fault::LoseRequest));
    held.lost().await;
    a.disturb(None);
    drop(held);
    sleep(secs(60)).await;

    let [renewal, lost, over] = &log.lines("")[..] else { panic!("{}", log.text()) };
    assert!(renewal.contains("WARN") && renewal.contains("session `s15-"), "{renewal}");
    assert!(renewal.contains("cannot be renewed: ") && renewal.contains("no answer"), "{renewal}");
    assert!(lost.contains("WARN") && lost.contains("lost") && lost.contains("name=x"), "{lost}");
    assert!(over.contains("the problem is over"), "{over}");

    let guard = two.lock("x", LockOptions::default()).await.unwrap();
    a.disturb(Some(Fault::LoseRequest));
    let (waited, ()) = tokio::join!(one.lock("x", LockOptions::default().wait(secs(60))), async {
        sleep(secs(30)).await;
        a.disturb(None);
    });
    drop((waited.unwrap_err(), guard));
    let [delayed] = &log.lines("has to wait: ")[..] else { panic!("{}", log.text()) };
    assert!(delayed.contains("lock `x`"), "{delayed}");
    assert_eq!(log.lines("lock `x`: the problem is over").len(), 1, "{}", log.text());
}

/// Each guard is released at the instant of a heartbeat, one before the task of the session runs and one after.
#[tokio::test(start_paused = true)]
async fn a_guard_that_is_released_at_a_heartbeat_is_not_lost() {
    let (log, _subscribed) = Log::at(LevelFilter::WARN);
    let (a, b) = pair();
    let one = a.session(SessionOptions::default()).await.unwrap();
    let two = b.session(SessionOptions::default()).await.unwrap();

    for pauses in [&[5][..], &[4, 1]] {
        let guard = one.lock("x", LockOptions::default()).await.unwrap();
        for pause in pauses {
            sleep(secs(*pause)).await;
        }
        guard.release().await.unwrap();
        let next = two.lock("x", LockOptions::default().try_once()).await;
        next.expect("the lock is free once its release has returned").release().await.unwrap();
    }

    assert_eq!(log.text(), "");
}
