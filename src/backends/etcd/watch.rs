//! Watches: a read, and then each change after it.
//!
//! The subscriber reads the stream, so a watch has no task. All watches at one node share a connection. After every
//! interruption a watch begins again with a read, at the next node: also after a compaction, when etcd no longer has
//! the changes between. So no subscriber keeps a state that has changed meanwhile.

use std::{collections::VecDeque, time::Duration};

use futures::{
    StreamExt as _,
    channel::mpsc::{self, UnboundedSender},
    stream::{self, BoxStream},
};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::{
    client::{Client, Origin},
    error::canceled,
    keys::Keys,
    messages::{Event, KeyValue, WatchCancel, WatchCreate, WatchRequest, WatchResponse, revision},
};
use crate::{
    api::error::{Error, Result},
    runtime::watches::REQUEST_TIMEOUT,
    util::{
        backoff::{backoff, jitter},
        clock::{Clock, Moment},
    },
};

/// After so long without a response, a probe is sent: a watch that begins and ends at once. etcd answers each, while it
/// does not notify of progress a watch that waits for a later revision than the last one.
const SILENCE: Duration = Duration::from_secs(30);
/// How long etcd may take to answer. A watch whose node hangs is over then.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of a probe.
const PROBE: i64 = i64::MAX;

/// What is watched, and what is reported of it.
pub(super) trait Source: Send + 'static {
    type Report: Send + 'static;

    /// Reads, and watches from the revision after the read. Reports what it read.
    fn begin(&mut self) -> impl Future<Output = Result<(Open, Vec<Self::Report>), Status>> + Send;

    /// Reports the next changes, if there are any.
    fn progress(
        &mut self,
        open: &mut Open,
    ) -> impl Future<Output = Result<Vec<Self::Report>, Status>> + Send;

    /// Reports that the watch is interrupted.
    fn blind(&self, status: &Status) -> Self::Report;
}

struct Watch<S: Source> {
    client: Client,
    source: S,
    open: Option<Open>,
    reports: VecDeque<S::Report>,
    /// In a row.
    failures: u32,
}

/// The reports of `source`, without an end.
pub(super) fn reports<S: Source>(client: Client, source: S) -> BoxStream<'static, S::Report> {
    let watch = Watch { client, source, open: None, reports: VecDeque::new(), failures: 0 };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }).boxed()
}

impl<S: Source> Watch<S> {
    async fn next(&mut self) -> S::Report {
        loop {
            if let Some(report) = self.reports.pop_front() {
                return report;
            }
            if self.failures > 1 {
                let backoff = backoff(self.failures - 2);
                sleep(backoff / 2 + jitter(backoff)).await;
            }
            let status = match self.progress().await {
                Ok(()) => continue,
                Err(status) => status,
            };
            self.open = None;
            self.failures = self.failures.saturating_add(1);
            // The first failure may be that of one node: the next one is tried at once.
            if self.failures > 1 {
                return self.source.blind(&status);
            }
        }
    }

    async fn progress(&mut self) -> Result<(), Status> {
        let Some(open) = &mut self.open else {
            let begun = timeout(REQUEST_TIMEOUT, self.source.begin()).await;
            let (open, reports) = begun.unwrap_or_else(|_| Err(silent()))?;
            self.open = Some(open);
            self.reports.extend(reports);
            return Ok(());
        };
        let reports = self.source.progress(open).await;
        let reports =
            reports.inspect_err(|status| self.client.watch_failed(&open.origin, status))?;
        if open.works {
            self.failures = 0;
        }
        self.reports.extend(reports);
        Ok(())
    }
}

/// The requests on a stream of watches.
pub(super) struct Requests(pub(super) UnboundedSender<WatchRequest>);

impl Requests {
    /// Adds a watch.
    pub(super) fn create(&self, create: WatchCreate) {
        self.send(WatchRequest { create: Some(create), ..WatchRequest::default() });
    }

    /// Ends a watch that was added.
    pub(super) fn cancel(&self, watch_id: i64) {
        let cancel = Some(WatchCancel { watch_id });
        self.send(WatchRequest { cancel, ..WatchRequest::default() });
    }

    fn send(&self, request: WatchRequest) {
        // If the stream is over, so is the next response.
        let _ = self.0.unbounded_send(request);
    }
}

/// A stream of watches that etcd has accepted.
pub(super) struct Open {
    origin: Origin,
    pub(super) requests: Requests,
    responses: BoxStream<'static, Result<WatchResponse, Status>>,
    /// There was a response after the first one: this node does more than accept watches.
    works: bool,
    /// The first key of the first watch.
    key: Vec<u8>,
    /// When the node is asked whether it still works on the watches, or given up if it was asked.
    silent_at: Moment,
    asked: bool,
}

impl Open {
    /// Opens a stream with one watch.
    pub(super) async fn begin(client: &Client, first: WatchCreate) -> Result<Self, Status> {
        let (sender, sent) = mpsc::unbounded();
        let (requests, key) = (Requests(sender), first.key.clone());
        requests.create(first);
        let (origin, responses) = client.watch(sent).await?;
        let mut open = Self::new(origin, requests, responses.boxed(), key);
        // Reported only when etcd has accepted the watch, so that the first report to a user without the permission is
        // the refusal.
        let accepted = open.response().await.and_then(events);
        accepted.inspect_err(|status| client.watch_failed(&open.origin, status))?;
        open.works = false;
        Ok(open)
    }

    fn new(
        origin: Origin,
        requests: Requests,
        responses: BoxStream<'static, Result<WatchResponse, Status>>,
        key: Vec<u8>,
    ) -> Self {
        let silent_at = Clock::Runtime.now() + SILENCE;
        Self { origin, requests, responses, works: false, key, silent_at, asked: false }
    }

    /// The next response. If there is none for a long time, asks whether the node still works on the watches.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost, and the time counts on.
    pub(super) async fn response(&mut self) -> Result<WatchResponse, Status> {
        loop {
            let wait = self.silent_at.since(Clock::Runtime.now());
            if let Ok(response) = timeout(wait, self.responses.next()).await {
                let ended = || Err(Status::unavailable("the watch ended"));
                let response = response.unwrap_or_else(ended)?;
                (self.silent_at, self.asked) = (Clock::Runtime.now() + SILENCE, false);
                self.works = true;
                // The answer to a probe carries no news: its key is also that of the first watch.
                let probed = response.watch_id == PROBE;
                return Ok(if probed { WatchResponse::default() } else { response });
            }
            if self.asked {
                return Err(silent());
            }
            (self.silent_at, self.asked) = (Clock::Runtime.now() + PROBE_TIMEOUT, true);
            let key = self.key.clone();
            self.requests.create(WatchCreate { key, watch_id: PROBE, ..WatchCreate::default() });
            self.requests.cancel(PROBE);
        }
    }
}

/// What a watch of a key or of a range of keys reports.
pub(super) enum Report {
    /// All keys. They replace what was reported before.
    All(Vec<KeyValue>),
    Change(Event),
    /// The watch is interrupted.
    Blind(Error),
}

/// The reports about `keys`, without an end.
pub(super) fn watch(client: Client, keys: Keys) -> BoxStream<'static, Report> {
    reports(client.clone(), Range { client, keys })
}

/// A key or a range of keys.
struct Range {
    client: Client,
    keys: Keys,
}

impl Source for Range {
    type Report = Report;

    async fn begin(&mut self) -> Result<(Open, Vec<Report>), Status> {
        let found = self.client.range(self.keys.range()).await?;
        let create = self.keys.watch(0, revision(found.header.as_ref()));
        let open = Open::begin(&self.client, create).await?;
        Ok((open, vec![Report::All(found.kvs)]))
    }

    async fn progress(&mut self, open: &mut Open) -> Result<Vec<Report>, Status> {
        let events = events(open.response().await?)?;
        Ok(events.into_iter().map(Report::Change).collect())
    }

    fn blind(&self, status: &Status) -> Report {
        Report::Blind(self.keys.error("watch", status))
    }
}

/// The events of a response; an error if the watch is over. It is over after a compaction, even though etcd states the
/// revision from which it could go on: the changes before that revision are lost.
pub(super) fn events(response: WatchResponse) -> Result<Vec<Event>, Status> {
    if response.canceled || response.compact_revision != 0 {
        return Err(canceled(&response.cancel_reason));
    }
    Ok(response.events)
}

fn silent() -> Status {
    Status::deadline_exceeded("etcd does not answer to a watch")
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future};

    use super::*;
    use crate::EtcdOptions;

    /// A node that accepts each watch, and does then what `stream` does.
    struct Accepts<F>(F, mpsc::UnboundedSender<WatchRequest>);

    impl<F> Source for Accepts<F>
    where
        F: Fn() -> BoxStream<'static, Result<WatchResponse, Status>> + Send + 'static,
    {
        type Report = &'static str;

        async fn begin(&mut self) -> Result<(Open, Vec<&'static str>), Status> {
            let (stream, requests) = ((self.0)(), Requests(self.1.clone()));
            let authentication = future::ready(Ok(None)).boxed().shared();
            let origin = Origin { turn: 0, authentication };
            Ok((Open::new(origin, requests, stream, b"x".to_vec()), vec!["all"]))
        }

        async fn progress(&mut self, open: &mut Open) -> Result<Vec<&'static str>, Status> {
            events(open.response().await?).map(|_| vec!["event"])
        }

        fn blind(&self, _: &Status) -> &'static str {
            "blind"
        }
    }

    #[tokio::test(start_paused = true)]
    async fn watches_that_are_accepted_and_end_at_once_are_reported_and_retried_with_pauses() {
        let client = EtcdOptions::default().client(&[]).unwrap();
        let source = Accepts(|| stream::empty().boxed(), mpsc::unbounded().0);
        let begun = Clock::Runtime.now();

        let reported: Vec<_> = reports(client, source).take(11).collect().await;

        assert_eq!(reported[..4], ["all", "all", "blind", "all"]);
        assert!(Clock::Runtime.now().since(begun) > secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_without_events_lives_as_long_as_probes_are_answered() {
        let client = EtcdOptions::default().client(&[]).unwrap();
        let (sender, mut sent) = mpsc::unbounded();
        let (answers, answered) = mpsc::unbounded();
        let answered = std::sync::Mutex::new(Some(answered.boxed()));
        let source = Accepts(
            move || answered.lock().unwrap().take().unwrap_or_else(|| stream::pending().boxed()),
            sender,
        );
        let mut reports = reports(client, source);
        assert_eq!(reports.next().await, Some("all"));

        for _ in 0..3 {
            let next = tokio::spawn(async move { (reports.next().await, reports) });
            tokio::time::sleep(SILENCE + secs(1)).await;
            let probe = sent.try_recv().unwrap().create.unwrap();
            assert_eq!((&probe.key[..], probe.watch_id), (&b"x"[..], PROBE));
            assert_eq!(sent.try_recv().unwrap().cancel.unwrap().watch_id, PROBE);
            let created = WatchResponse { watch_id: PROBE, created: true, ..<_>::default() };
            answers.unbounded_send(Ok(created)).unwrap();
            let report;
            (report, reports) = next.await.unwrap();
            assert_eq!(report, Some("event"));
        }
        assert_eq!(reports.next().await, Some("all"), "no answer: the next node");
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_watch_is_over_when_etcd_has_compacted_the_changes_from_which_it_began() {
        let event = Event { kind: 0, kv: Some(KeyValue::default()) };
        let response = WatchResponse { events: vec![event.clone()], ..WatchResponse::default() };
        assert_eq!(events(response.clone()).unwrap(), [event]);

        let compacted = WatchResponse { compact_revision: 7, ..response.clone() };
        assert!(events(compacted).is_err());
        assert!(events(WatchResponse { canceled: true, ..response }).is_err());
    }
}
