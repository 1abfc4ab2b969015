//! Feeds the view from the records in the cluster.

use std::{sync::Arc, time::Duration};

use leasehold::{Kubernetes, LeaseRecord, RecordKind, RecordWatch, Role, Token};
use tokio::time::sleep;

use super::{
    state::PageMember,
    view::{ElectionView, Observation, ObservedLeader},
};

/// The pause before a retry after the records could not be read.
const AGAIN: Duration = Duration::from_secs(5);

/// Updates `view` while it is polled. Needs `list` on leases; `watch` makes the updates faster.
pub(crate) async fn feed(sync: Arc<Kubernetes>, election: String, view: ElectionView) {
    loop {
        match sync.watch_election(&election).await {
            Ok(watch) => follow(watch, &view).await,
            Err(error) => {
                tracing::warn!(%error, "the page cannot show the leader");
                view.fail(error.to_string());
            }
        }
        sleep(AGAIN).await;
    }
}

async fn follow(mut watch: RecordWatch, view: &ElectionView) {
    loop {
        view.show(observation(&watch.current()), watch.last_error());
        watch.changed().await;
    }
}

fn observation(records: &[LeaseRecord]) -> Observation {
    let alive = || records.iter().filter(|record| !record.expired);
    let of = |kind| alive().filter(move |record| record.kind == kind);
    let leader = of(RecordKind::Election).find_map(|record| {
        Some(ObservedLeader {
            id: record.holder.clone()?,
            token: record.token.map(Token::get),
            ttl: record.ttl,
            left: record.ttl.saturating_sub(record.unchanged_for.unwrap_or_default()),
        })
    });
    let leads =
        leader.iter().map(|leader| PageMember { id: leader.id.clone(), role: Role::Leader });
    let waits = of(RecordKind::Candidate)
        .filter_map(|record| record.holder.clone())
        .filter(|id| leader.as_ref().is_none_or(|leader| leader.id != *id))
        .map(|id| PageMember { id, role: Role::Follower });
    let mut members: Vec<_> = leads.chain(waits).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    Observation { leader, members }
}
