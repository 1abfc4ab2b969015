//! Sessions on a store that fails at random: never two guards, tokens that grow, and each process gets its turn.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use leasehold::{
    Fault, Guard, LockOptions, Memory, Options, Session, SessionOptions, Sync as _, Tenure,
};
use leasehold_test_support::Rng;
use tokio::time::{sleep, timeout};

use super::now;

const PROCESSES: u64 = 4;
/// The time to live of a session.
const TTL: Duration = Duration::from_secs(15);
/// Simulated time.
const LENGTH: Duration = Duration::from_secs(2 * 3600);

/// The last tenure, and how many each process had.
#[derive(Default)]
struct Ledger {
    last: Option<Tenure>,
    served: Vec<u64>,
}

impl Ledger {
    fn granted(&mut self, process: usize, guard: &Guard) {
        if !guard.is_held() {
            return;
        }
        if let Some(last) = self.last.replace(guard.tenure()) {
            assert!(!last.is_held(), "two guards: {last:?} {guard:?}");
            assert!(last.token() < guard.token(), "{last:?} {guard:?}");
        }
        self.served[process] += 1;
    }
}

async fn work(process: usize, session: Session, ledger: Arc<Mutex<Ledger>>, mut random: Rng) {
    let end = now() + LENGTH;
    while now() < end {
        let wait = Duration::from_millis(random.below(60_000));
        let options = match random.below(3) {
            0 => LockOptions::default().wait(wait),
            _ => LockOptions::default(),
        };
        // Some callers drop the future.
        let patience = if random.chance(300) { wait } else { LENGTH };
        let Ok(Ok(guard)) = timeout(patience, session.lock("orders", options)).await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        ledger.lock().expect("no process has panicked").granted(process, &guard);
        // Some work outlasts a session that is cut off.
        let longest = if random.chance(300) { 60_000 } else { 1000 };
        let held = Duration::from_millis(random.below(longest));
        let _ = timeout(held, guard.lost()).await;
        if random.chance(500) {
            let _ = timeout(wait, guard.release()).await;
        } else {
            drop(guard);
        }
    }
}

/// Disturbs one process after the other, and now and then deletes its session.
async fn disturb(processes: &[Memory], sessions: &[Session], mut random: Rng) {
    loop {
        sleep(Duration::from_millis(random.below(20_000))).await;
        let index = random.index(processes.len());
        let delay = Fault::Delay(Duration::from_millis(random.below(20_000)));
        let fault = random.pick(&[delay, Fault::LoseRequest, Fault::LoseReply]);
        if random.chance(50) {
            processes[0].delete_session(&sessions[index].id());
        } else if random.chance(500) {
            processes[index].inject(fault);
        } else {
            processes[index].disturb(Some(fault));
            sleep(Duration::from_millis(random.below(25_000))).await;
            processes[index].disturb(None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn faults_never_lead_to_two_guards_and_each_process_gets_its_turn() {
    for seed in 0..3 {
        let first = Memory::default();
        let mut processes = Vec::new();
        let mut sessions = Vec::new();
        for _ in 0..PROCESSES {
            let process = first.another(Options::default()).expect("valid options");
            sessions.push(process.session(SessionOptions::default()).await.expect("a session"));
            processes.push(process);
        }
        let served = vec![0; sessions.len()];
        let ledger = Arc::new(Mutex::new(Ledger { served, ..Ledger::default() }));
        let work = sessions.iter().enumerate().map(|(index, session)| {
            let random = Rng::new(seed * 100 + index as u64);
            work(index, session.clone(), Arc::clone(&ledger), random)
        });
        tokio::select! {
            _ = join_all(work) => {}
            () = disturb(&processes, &sessions, Rng::new(seed)) => {}
        }

        for process in &processes {
            process.disturb(None);
        }
        let served = ledger.lock().unwrap().served.clone();
        assert!(served.iter().all(|&served| served > 10), "seed {seed}: {served:?}");
        let next = first.session(SessionOptions::default()).await.expect("a session");
        let next = timeout(Duration::from_secs(120), next.lock("orders", LockOptions::default()));
        assert!(next.await.expect("no claim is left behind").expect("granted").is_held());
    }
}

/// A holder and `waiters` waiters on a lock, each a process of its own, and then a waiter that has observed them for a
/// while. All of them but the last crash at one instant. Returns how long the last one then waits.
async fn crash_before_the_last(waiters: usize) -> Duration {
    let last = Memory::default();
    let mut crashing = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..=waiters {
        let process = last.another(Options::default()).expect("valid options");
        let session = process.session(SessionOptions::default()).await.expect("a session");
        tasks.push(tokio::spawn(async move {
            let guard = session.lock("orders", LockOptions::default()).await;
            std::future::pending::<()>().await;
            drop(guard);
        }));
        sleep(Duration::from_secs(1)).await;
        crashing.push(process);
    }
    let session = last.session(SessionOptions::default()).await.expect("a session");
    let lock = session.lock("orders", LockOptions::default());
    let crash = async {
        sleep(TTL * 2).await;
        for process in &crashing {
            process.disturb(Some(Fault::LoseRequest));
        }
        now()
    };

    let (guard, crashed) = tokio::join!(lock, crash);

    assert!(guard.expect("granted").is_held());
    crashed.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_holder_and_the_first_waiter_that_crash_together_cost_one_ttl() {
    let took = crash_before_the_last(1).await;
    // From their last renewals on, and then two thirds of the time between two reads of them.
    assert!(took >= TTL / 3 * 2 && took <= TTL / 3 * 5, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_and_seven_waiters_that_crash_together_cost_two_ttls() {
    let took = crash_before_the_last(7).await;
    assert!(took <= TTL * 3, "one after the other they would cost eight: {took:?}");
}
