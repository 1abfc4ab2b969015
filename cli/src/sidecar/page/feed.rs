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
    let members = LeaseRecord::members(records);
    let holder = |member: &LeaseRecord| member.holder.clone().unwrap_or_default();
    let leads = |member: &LeaseRecord| member.kind == RecordKind::Election;
    let leader = members.iter().find(|member| leads(member)).map(|member| ObservedLeader {
        id: holder(member),
        token: member.token.map(Token::get),
        ttl: member.ttl,
        left: member.ttl.saturating_sub(member.unchanged_for.unwrap_or_default()),
    });
    let role = |member| if leads(member) { Role::Leader } else { Role::Follower };
    let members =
        members.into_iter().map(|member| PageMember { id: holder(member), role: role(member) });
    Observation { leader, members: members.collect() }
}
