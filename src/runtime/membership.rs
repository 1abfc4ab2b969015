//! The record by which a candidate that does not lead is listed.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::sleep;

use super::{contender_status::ContenderStatus, contenders::Contenders};
use crate::{
    api::{error::Result, guard::Guard, name::Name, timing::Timing},
    store::RecordKey,
    util::watched::Watched,
};

/// How long a candidate that is no longer heard of stays listed.
const TTL: Duration = Duration::from_secs(60);
/// How often a candidate renews its record: 0.04 requests a second.
const RENEW_INTERVAL: Duration = Duration::from_secs(25);

/// The candidate's own record.
#[derive(Default)]
pub(crate) enum Membership {
    #[default]
    None,
    Joining {
        granted: BoxFuture<'static, Result<Guard>>,
        status: Arc<Watched<ContenderStatus>>,
        /// A record of the same name exists: an earlier life of this candidate wrote it.
        listed: bool,
    },
    Joined(Guard),
    /// The backend does not allow it: the candidate competes unlisted, and asks again after a pause.
    Unlisted(BoxFuture<'static, ()>),
}

/// What became of the record.
pub(crate) enum MembershipChange {
    Granted(Result<Guard>),
    /// It is listed already, by its earlier life.
    Listed,
    /// To be written again: deleted, not renewed in time, or worth another try.
    Gone,
}

impl Membership {
    /// Begins to write the record `key`.
    pub(crate) fn join(
        contenders: &Arc<Contenders>,
        key: RecordKey,
        candidate_id: &Name,
        payload: Option<Arc<str>>,
    ) -> Self {
        let timing = Timing::new(TTL).renew_interval(RENEW_INTERVAL).durations();
        let mut pending = contenders.claim(&Arc::new(key), candidate_id, timing, None, payload);
        Self::Joining {
            status: Arc::clone(&pending.status),
            granted: Box::pin(async move { pending.granted().await }),
            listed: false,
        }
    }

    /// Competes unlisted for a while.
    pub(crate) fn unlisted() -> Self {
        Self::Unlisted(Box::pin(sleep(TTL)))
    }

    /// Waits for the next change. Never completes while there is no record to wait for.
    pub(crate) async fn changed(&mut self) -> MembershipChange {
        match self {
            Self::Joining { granted, status, listed } => tokio::select! {
                biased;
                granted = granted => MembershipChange::Granted(granted),
                () = status.wait_for(|status| status.waiting), if !*listed => {
                    *listed = true;
                    MembershipChange::Listed
                }
            },
            Self::Joined(guard) => {
                guard.lost().await;
                MembershipChange::Gone
            }
            Self::Unlisted(pause) => {
                pause.await;
                MembershipChange::Gone
            }
            Self::None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Joining { .. } => "Joining",
            Self::Joined(_) => "Joined",
            Self::Unlisted(_) => "Unlisted",
        })
    }
}
