//! Two replicas of one program. The first loses its network: the second takes over. Then the second resigns.
//!
//! ```sh
//! cargo run --example failover   # in memory, about 8 s
//! ```
//!
//! The replicas count the words of texts. Each text is counted once, by the leader of that time, and stored with the
//! fencing token of its tenure. The example `controller` does the same with the objects of a cluster.

#![expect(clippy::print_stdout, reason = "an example reports on its terminal")]

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use leasehold::{Fault, LeaderOptions, Memory, Options, Sync as _, Tenure};
use tokio::time::{sleep, timeout};

const ELECTION: &str = "leasehold-example-failover";

/// Texts, each with the token of the tenure that counted it.
type Texts = Mutex<Vec<(&'static str, Option<u64>)>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let texts = Texts::default();
    let one = Memory::default();
    // Another handle to the same store, as another process would have one.
    let two = one.another(Options::default())?;
    let options = LeaderOptions::default().ttl(Duration::from_secs(2));
    let first = one.leader(ELECTION, options.clone().candidate_id("first")).await?;
    let second = two.leader(ELECTION, options.candidate_id("second")).await?;

    let add = |text| texts.lock().unwrap_or_else(PoisonError::into_inner).push((text, None));
    let story = async {
        add("the fog comes on little cat feet");
        sleep(Duration::from_secs(1)).await;
        println!("         the first loses its network");
        one.disturb(Some(Fault::LoseRequest));
        sleep(Duration::from_secs(3)).await;
        add("row row row your boat");
        sleep(Duration::from_secs(1)).await;
        println!("         the first has its network back");
        one.disturb(None);
        sleep(Duration::from_secs(2)).await;
        println!("         the second resigns");
        second.resign().await?;
        add("give us this day our daily bread");
        sleep(Duration::from_secs(1)).await;
        first.resign().await
    };
    let all = async {
        tokio::join!(
            first.run(|tenure| count_all("first", &texts, tenure)),
            second.run(|tenure| count_all("second", &texts, tenure)),
            story
        )
    };
    // `run` returns `Error::Closed` on both, because they resign while their work still runs.
    let (_, _, end) = timeout(Duration::from_secs(15), all).await?;
    end?;

    let texts = texts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tokens: Vec<_> = texts.iter().filter_map(|&(_, token)| token).collect();
    if tokens.len() != 3 || !tokens.is_sorted_by(|before, after| before < after) {
        return Err(format!("expected three texts counted in three tenures: {texts:?}").into());
    }
    Ok(())
}

/// Counts until it is dropped. No `.await` is between the decision and the write, so `check` is not needed.
async fn count_all(replica: &str, texts: &Texts, tenure: Tenure) {
    println!("{replica:<8} leads, token {}", tenure.token());
    loop {
        for (text, token) in &mut *texts.lock().unwrap_or_else(PoisonError::into_inner) {
            if token.is_none() {
                *token = Some(tenure.token().get());
                println!(
                    "{replica:<8} counts {} words in `{text}`",
                    text.split_whitespace().count()
                );
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}
