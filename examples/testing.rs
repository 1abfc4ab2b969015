//! Tests of code that uses a lock: on the embedded backend, in paused time, with a broken network.
//!
//! ```sh
//! cargo test --example testing   # as the tests at the end
//! cargo run  --example testing   # the same, printed
//! ```
//!
//! Minutes of waiting take no time: the embedded backend measures its deadlines on the runtime's clock,
//! which does not advance while a task runs, and jumps to the next timer when no task runs. This needs in
//! `[dev-dependencies]`: `tokio = { version = "1", features = ["macros", "rt", "test-util"] }`.

#![expect(clippy::print_stdout, reason = "an example reports on its terminal")]

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use leasehold::{DynSync, Fault, LockOptions, Memory, Options};
use tokio::time::{Instant, sleep, timeout};

/// How long one invoice takes.
const WORK: Duration = Duration::from_secs(4);

/// Sent invoices: the worker and the number.
#[derive(Debug, Default)]
struct Outbox(Mutex<Vec<(&'static str, usize)>>);

impl Outbox {
    fn sent(&self) -> Vec<(&'static str, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The code under test: sends `count` invoices, each once, although other processes do the same.
/// Takes the trait object, so that a test can give it an embedded backend.
async fn bill(
    sync: &DynSync,
    me: &'static str,
    count: usize,
    outbox: &Outbox,
) -> leasehold::Result<()> {
    let guard = sync.lock("billing", LockOptions::default()).await?;
    while outbox.sent().len() < count {
        sleep(WORK).await;
        guard.check()?;
        let mut sent = outbox.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = sent.len();
        sent.push((me, next));
    }
    guard.release().await
}

/// The result that a test checks.
#[derive(Debug)]
struct Outcome {
    first: leasehold::Result<()>,
    second: leasehold::Result<()>,
    sent: Vec<(&'static str, usize)>,
    took: Duration,
}

/// Two workers bill ten customers. After ten seconds `fault` happens to every request of the first.
#[expect(clippy::disallowed_methods, reason = "the runtime's clock, to measure the simulated time")]
async fn two_workers(fault: Option<Fault>) -> leasehold::Result<Outcome> {
    let first = Memory::default();
    let second = first.another(Options::default())?;
    let outbox = Outbox::default();
    let start = Instant::now();

    let (one, two, ()) = tokio::join!(
        bill(&first, "first", 10, &outbox),
        async {
            sleep(Duration::from_secs(1)).await;
            bill(&second, "second", 10, &outbox).await
        },
        async {
            sleep(Duration::from_secs(10)).await;
            first.disturb(fault);
        }
    );
    Ok(Outcome { first: one, second: two, sent: outbox.sent(), took: start.elapsed() })
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    for (title, fault) in [
        ("nothing goes wrong", None),
        ("the first worker's requests are lost from 10 s on", Some(Fault::LoseRequest)),
        (
            "the answers to the first worker's requests are lost from 10 s on",
            Some(Fault::LoseReply),
        ),
    ] {
        let Outcome { first, second, sent, took } =
            timeout(Duration::from_secs(600), two_workers(fault)).await??;
        println!("{title}:");
        println!("  first   {}", first.map_or_else(|e| e.to_string(), |()| "done".into()));
        println!("  second  {}", second.map_or_else(|e| e.to_string(), |()| "done".into()));
        println!("  sent    {sent:?}");
        println!("  took    {took:?} of simulated time");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_once(sent: &[(&str, usize)]) -> bool {
        sent.iter().map(|&(_, invoice)| invoice).eq(0..10)
    }

    #[tokio::test(start_paused = true)]
    async fn without_faults_the_first_sends_all() {
        let outcome = two_workers(None).await.unwrap();

        assert!(outcome.first.is_ok() && outcome.second.is_ok(), "{outcome:?}");
        assert!(outcome.sent.iter().all(|&(by, _)| by == "first"), "{outcome:?}");
        assert!(each_once(&outcome.sent), "{outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_cut_off_stops_and_the_other_continues() {
        let outcome = two_workers(Some(Fault::LoseRequest)).await.unwrap();

        assert!(matches!(outcome.first, Err(leasehold::Error::Lost { .. })), "{outcome:?}");
        assert!(outcome.second.is_ok(), "{outcome:?}");
        assert!(outcome.sent.iter().any(|&(by, _)| by == "second"), "{outcome:?}");
        assert!(each_once(&outcome.sent), "nothing twice, nothing missing: {outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_costs_the_tenure_and_nothing_else() {
        let outcome = two_workers(Some(Fault::LoseReply)).await.unwrap();

        assert!(outcome.second.is_ok() && each_once(&outcome.sent), "{outcome:?}");
    }
}
