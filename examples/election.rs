//! An election: one candidate leads and the other follows. The leader resigns, and the follower leads.
//!
//! ```sh
//! cargo run --example election                                       # in memory
//! cargo run --example election -- --kubernetes --namespace default   # on the cluster of the kubeconfig
//! cargo run --features etcd --example election -- --etcd 127.0.0.1:2379   # on etcd
//! ```
//!
//! On a cluster `kubectl get lease leasehold-example-election` shows the leader.

#![expect(clippy::print_stdout, reason = "an example reports on its terminal")]

mod support;

use std::{error::Error, time::Duration};

use futures::StreamExt as _;
use leasehold::{
    DynSync, ElectEvent, LeaderOptions, ListMembersOptions, Member, Sync as _, WatchElectOptions,
};

const ELECTION: &str = "leasehold-example-election";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let backend = support::Backend::from_args()?;
    // Two handles compete, as two processes do.
    let first = backend.handle().await?;
    let second = backend.handle().await?;
    first.init().await?;

    let mut events = first.watch_elect(WatchElectOptions::default().election(ELECTION)).await?;
    let watching = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            println!("watch    {}", described(&event));
        }
    });

    // Returns when the candidate leads, or is listed as a follower.
    let options = LeaderOptions::default().ttl(Duration::from_secs(10));
    let one = first.leader(ELECTION, options.clone().candidate_id("node-1")).await?;
    let lead = one.elected().await?;
    println!("{}   leads, token {}", one.candidate_id(), lead.token());
    let two = second.leader(ELECTION, options.candidate_id("node-2")).await?;
    list(&*first).await?;

    let mut seen = two.watch();
    let observing = tokio::spawn(async move {
        while let Some(leader) = seen.next().await {
            let leader = leader.primary.map_or_else(|| "none".into(), |leader| leader.candidate_id);
            println!("node-2   sees the leader: {leader}");
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;

    // Before each step that must not happen twice: does this candidate still lead?
    lead.check()?;
    println!("{}   resigns", one.candidate_id());
    one.resign().await?;

    let lead_of_two = two.elected().await?;
    println!("{}   leads, token {}", two.candidate_id(), lead_of_two.token());
    if lead_of_two.token() <= lead.token() {
        return Err("a later tenure has the larger token".into());
    }
    list(&*second).await?;
    two.resign().await?;
    // The stream ends when its candidate has resigned. The watch continues until it is dropped.
    observing.await?;
    watching.abort();
    Ok(())
}

async fn list(sync: &DynSync) -> leasehold::Result<()> {
    let members = sync.list_members(ListMembersOptions::default().election(ELECTION)).await?;
    for Member { candidate_id: id, role, namespace, .. } in members {
        println!("members  {id} is {role:?} in namespace `{namespace}`");
    }
    Ok(())
}

fn described(event: &ElectEvent) -> String {
    let id = &event.member().candidate_id;
    match event {
        ElectEvent::Elected(_) => format!("{id} was elected"),
        ElectEvent::Lost(_) => format!("{id} no longer leads"),
        ElectEvent::Joined(_) => format!("{id} joined"),
        ElectEvent::Left(_) => format!("{id} left"),
        other => format!("{other:?}"),
    }
}
