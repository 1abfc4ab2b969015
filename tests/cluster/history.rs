//! The history of a Lease, as a watch sees it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use tokio::{task::JoinHandle, time::Instant};

/// One version of the Lease.
#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    /// The identity of the holder; None while the Lease is free.
    holder: Option<String>,
    version: u64,
    /// `acquireTime` and `renewTime`, by the clock of the writer.
    acquired: Option<Timestamp>,
    renewed: Option<Timestamp>,
}

/// A change of the leader: to another pod, or to a new process of the same pod.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Whether the Lease was free in between, so that it was released and did not expire.
    pub(crate) freed: bool,
    /// The time without a leader: since the release, or since the last renewal. The longer of the time between the
    /// two events and the time between the two written timestamps, because two events may arrive together.
    pub(crate) gap: Duration,
    /// The tokens of the two tenures: the version with which each began.
    pub(crate) tokens: (u64, u64),
    /// When the watch saw the new leader.
    pub(crate) at: Instant,
}

/// A watch on a Lease, from now until it is dropped.
#[derive(Debug)]
pub(crate) struct History {
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl History {
    pub(crate) fn watch(leases: Api<Lease>, name: &str) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let log = Arc::clone(&seen);
        let config = Config::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            let mut events = watcher(leases, config).default_backoff().boxed();
            while let Some(event) = events.next().await {
                // Ignore errors, because some tests stop the API server.
                if let Ok(Event::Apply(lease) | Event::InitApply(lease)) = event {
                    log.lock().unwrap().push(Seen::new(&lease));
                }
            }
        });
        Self { seen, task }
    }

    /// The changes of the leader so far.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let seen = self.seen.lock().unwrap().clone();
        let mut changes = Vec::new();
        let mut last: Option<(Seen, u64)> = None;
        let mut freed: Option<Seen> = None;
        for now in seen {
            let Some(holder) = now.holder.clone() else {
                freed = freed.or(Some(now));
                continue;
            };
            let began = match &last {
                Some((before, began)) if before.holder.as_ref() != Some(&holder) => {
                    changes.push(Change {
                        from: before.holder.clone().unwrap_or_default(),
                        to: holder,
                        freed: freed.is_some(),
                        gap: now.since(freed.as_ref().unwrap_or(before)),
                        tokens: (*began, now.version),
                        at: now.at,
                    });
                    now.version
                }
                Some((_, began)) => *began,
                None => now.version,
            };
            last = Some((now, began));
            freed = None;
        }
        changes
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn new(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let version = lease.metadata.resource_version.as_deref().unwrap_or_default();
        Self {
            at: Instant::now(),
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            version: version.parse().expect("a numeric version"),
            acquired: spec.acquire_time.map(|time| time.0),
            renewed: spec.renew_time.map(|time| time.0),
        }
    }

    /// The time from `before` to the acquisition of this version.
    fn since(&self, before: &Self) -> Duration {
        let written =
            self.acquired.zip(before.renewed).map(|(acquired, left)| acquired.duration_since(left));
        let written = written.and_then(|gap| Duration::try_from(gap).ok()).unwrap_or_default();
        written.max(self.at - before.at)
    }
}
