//! A watch of a key or of a range of keys: a read, and then each change after it.
//!
//! The subscriber reads the stream, so a watch has no task. All watches at one node share a connection. After every
//! interruption the watch begins again with a read, at the next node: also after a compaction, when etcd no longer has
//! the changes between. So no subscriber keeps a state that has changed meanwhile.

use std::{collections::VecDeque, time::Duration};

use futures::{
    StreamExt as _,
    channel::mpsc::{self, UnboundedSender},
    stream::{self, BoxStream},
};
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use super::{
    client::Client,
    error::{Context, canceled},
    messages::{
        Event, KeyValue, RangeRequest, WatchCreate, WatchProgress, WatchRequest, WatchResponse,
    },
};
use crate::{
    api::error::{Error, Result},
    util::environment,
};

/// How long a read and the start of a watch may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After so long without an event, the watch asks for a notification of progress.
const SILENCE: Duration = Duration::from_secs(30);
/// How long etcd may take to notify. A watch whose node hangs is over then.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the second failure in a row. Each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What a watch reports.
pub(super) enum Report {
    /// All keys. They replace what was reported before.
    All(Vec<KeyValue>),
    Change(Event),
    /// The watch is interrupted.
    Blind(Error),
}

struct Watch {
    client: Client,
    keys: RangeRequest,
    context: Context,
    open: Option<Open>,
    events: VecDeque<Event>,
    /// In a row.
    failures: u32,
}

/// A watch that etcd has accepted.
struct Open {
    node: usize,
    requests: UnboundedSender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

/// The reports about `keys`, without an end.
pub(super) fn watch(
    client: Client,
    keys: RangeRequest,
    context: Context,
) -> BoxStream<'static, Report> {
    let watch = Watch { client, keys, context, open: None, events: VecDeque::new(), failures: 0 };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }).boxed()
}

impl Watch {
    async fn next(&mut self) -> Report {
        loop {
            if self.failures > 1 {
                sleep(pause(self.failures - 2)).await;
            }
            let status = match self.progress().await {
                Ok(report) => return report,
                Err(status) => status,
            };
            self.open = None;
            self.events.clear();
            self.failures = self.failures.saturating_add(1);
            // The first failure may be that of one node: the next one is tried at once.
            if self.failures > 1 {
                return Report::Blind(self.context.error(&status));
            }
        }
    }

    async fn progress(&mut self) -> Result<Report, Status> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Report::Change(event));
            }
            let Some(open) = &mut self.open else {
                let begun = timeout(REQUEST_TIMEOUT, self.begin()).await;
                let (open, all) = begun.unwrap_or_else(|_| Err(silent()))?;
                self.open = Some(open);
                return Ok(Report::All(all));
            };
            let response = open.response().await;
            if let Err(status) = &response {
                self.client.watch_failed(open.node, status);
            }
            self.failures = 0;
            self.events.extend(events(response?)?);
        }
    }

    /// Reads, and watches from the revision after the read.
    async fn begin(&self) -> Result<(Open, Vec<KeyValue>), Status> {
        let found = self.client.range(self.keys.clone()).await?;
        let revision = found.header.map(|header| header.revision).unwrap_or_default();
        let create = WatchCreate {
            key: self.keys.key.clone(),
            range_end: self.keys.range_end.clone(),
            start_revision: revision + 1,
            progress_notify: true,
            prev_kv: true,
        };
        let (requests, sent) = mpsc::unbounded();
        let _ = requests.unbounded_send(WatchRequest { create: Some(create), progress: None });
        let (node, responses) = self.client.watch(sent).await?;
        let mut open = Open { node, requests, responses };
        // Reported only when etcd has accepted the watch, so that the first report to a user without the permission is
        // the refusal.
        let accepted = open.response().await.and_then(events);
        accepted.inspect_err(|status| self.client.watch_failed(node, status))?;
        Ok((open, found.kvs))
    }
}

impl Open {
    /// The next response. If there is none for a long time, asks whether the node still works on the watch.
    async fn response(&mut self) -> Result<WatchResponse, Status> {
        let answer = timeout(SILENCE, self.responses.message()).await;
        let response = if let Ok(response) = answer {
            response
        } else {
            let progress = WatchRequest { create: None, progress: Some(WatchProgress {}) };
            let _ = self.requests.unbounded_send(progress);
            let response = timeout(PROGRESS_TIMEOUT, self.responses.message()).await;
            response.unwrap_or_else(|_| Err(silent()))
        };
        response?.ok_or_else(|| Status::unavailable("the watch ended"))
    }
}

/// The events of a response; an error if the watch is over. It is over after a compaction, even though etcd states the
/// revision from which it could go on: the changes before that revision are lost.
fn events(response: WatchResponse) -> Result<Vec<Event>, Status> {
    if response.canceled || response.compact_revision != 0 {
        return Err(canceled(&response.cancel_reason));
    }
    Ok(response.events)
}

fn silent() -> Status {
    Status::deadline_exceeded("etcd does not answer to a watch")
}

/// Between half and the whole of the back-off, so that many watches do not begin at the same time.
fn pause(failures: u32) -> Duration {
    let backoff = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(MAX_PAUSE);
    let part = environment::random().to_be_bytes()[0];
    backoff / 2 + backoff / 2 * u32::from(part) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_over_when_etcd_has_compacted_the_changes_from_which_it_began() {
        let event = Event { kind: 0, kv: Some(KeyValue::default()), prev_kv: None };
        let response = WatchResponse { events: vec![event.clone()], ..WatchResponse::default() };
        assert_eq!(events(response.clone()).unwrap(), [event]);

        let compacted = WatchResponse { compact_revision: 7, ..response.clone() };
        assert!(events(compacted).is_err());
        assert!(events(WatchResponse { canceled: true, ..response }).is_err());
    }
}
