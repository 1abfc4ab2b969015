//! Feeds the view from the records in the cluster.

use std::{sync::Arc, time::Duration};

use leasehold::{Inspect, LeaseRecord, RecordKind, RecordWatch, Role, Token};
use tokio::time::sleep;

use super::{
    state::PageMember,
    view::{ElectionView, Observation, ObservedLeader},
};
use crate::{clock, output::warn_once::TOLERANCE};

/// The pause before a retry after the records could not be read.
const AGAIN: Duration = Duration::from_secs(5);

/// Updates `view` while it is polled. On Kubernetes it needs `list` on leases; `watch` makes the updates faster.
pub(crate) async fn feed(inspect: Arc<dyn Inspect>, election: String, view: ElectionView) {
    let mut warned = false;
    loop {
        match inspect.watch_election(&election).await {
            Ok(watch) => follow(watch, &view, &mut warned).await,
            Err(error) => {
                warn(&error.to_string(), &mut warned);
                view.fail(error.to_string());
            }
        }
        sleep(AGAIN).await;
    }
}

async fn follow(mut watch: RecordWatch, view: &ElectionView, warned: &mut bool) {
    let mut since = None;
    loop {
        let error = watch.last_error();
        if let Some(error) = error {
            let since = *since.get_or_insert_with(clock::now);
            if clock::now().saturating_sub(since) >= TOLERANCE {
                warn(error, warned);
            }
        } else {
            (since, *warned) = (None, false);
        }
        view.show(observation(&watch.current()), error);
        tokio::select! {
            biased;
            () = watch.changed() => {}
            // An error that lasts is no change.
            () = sleep(TOLERANCE), if since.is_some() && !*warned => {}
        }
    }
}

/// Warns once in each outage: an API server that is not there may be away for hours.
fn warn(error: &str, warned: &mut bool) {
    if *warned {
        tracing::debug!(%error, "the page still cannot show the leader");
    } else {
        tracing::warn!(%error, "the page cannot show the leader");
    }
    *warned = true;
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
    let members = members.into_iter().map(|member| PageMember {
        candidate_id: holder(member),
        role: role(member),
        payload: member.payload.clone(),
        succession: member.succession,
    });
    Observation { leader, members: members.collect() }
}
