//! What contenders say of themselves.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
};

use leasehold::{Fault, LeaderOptions, LockOptions, Sync as _};
use tokio::time::sleep;
use tracing::{Dispatch, level_filters::LevelFilter};

use crate::{hold, pair, secs, soon};

/// What was written to it.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// Listens on this thread, to `level` and above, until the guard is dropped.
    fn at(level: LevelFilter) -> (Self, tracing::subscriber::DefaultGuard) {
        // Where there is one subscriber in a process, `tracing` asks the thread that comes to an event first whether
        // anybody wants it, for good: a test beside this one, which listens to nothing, would say no for all.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| {
            Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish())
        });
        let said = Self::default();
        let writer = said.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (said, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        let said = self.0.lock().expect("nobody panics with it").clone();
        String::from_utf8(said).expect("it is text")
    }

    /// The lines with this in them.
    fn lines(&self, with: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_normal_life_says_nothing_above_debug() {
    let (said, _listening) = Said::at(LevelFilter::INFO);
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

    assert_eq!(said.text(), "");
}

#[tokio::test(start_paused = true)]
async fn each_change_of_a_tenure_is_said_once() {
    let (said, _listening) = Said::at(LevelFilter::TRACE);
    let (a, _b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    sleep(secs(12)).await;
    drop(guard);
    leader.resign().await.unwrap();

    for (change, times) in [("acquired", 1), ("elected", 1), (" renewed ", 2), ("released", 1)] {
        assert_eq!(said.lines(change).len(), times, "{change}: {}", said.text());
    }
    assert!(
        said.lines("acquired")[0].contains("DEBUG") && said.lines("renewed")[0].contains("TRACE")
    );
    assert!(said.lines("released")[0].contains("kind=election"), "{}", said.text());
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_should_see_is_a_warning() {
    let (said, _listening) = Said::at(LevelFilter::INFO);
    let (a, _b) = pair();
    let guard = hold(&a).await;

    a.disturb(Some(Fault::LoseRequest));
    sleep(secs(9)).await;
    a.disturb(None);
    sleep(secs(9)).await;
    a.disturb(Some(Fault::LoseRequest));
    guard.lost().await;
    sleep(secs(1)).await;

    let lines: Vec<_> = said.text().lines().map(str::to_owned).collect();
    let [doubt, fine, again, lost] = &lines[..] else { panic!("{}", said.text()) };
    for line in [doubt, again] {
        assert!(line.contains("WARN") && line.contains("in doubt: a renewal is overdue"), "{line}");
    }
    assert!(fine.contains("INFO") && fine.contains("in doubt no more"), "{fine}");
    assert!(lost.contains("WARN") && lost.contains("lost") && lost.contains("within the hold"));
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_warned_of_once() {
    let (said, _listening) = Said::at(LevelFilter::WARN);
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

    let text = said.text();
    assert!((1..=4).contains(&text.lines().count()), "{text}");
    drop((guard, follows));
}
