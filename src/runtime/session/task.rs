//! The task of one session: its heartbeat, its watch, its locks and the sessions that these wait for.
//!
//! A lock has no task, no timer and no watch of its own. Answers and timers come before commands, so that callers that
//! never rest cannot keep the heartbeat waiting.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    Status,
    beats::Beats,
    command::Command,
    elections::Elections,
    lock::Lock,
    observed::Observed,
    requests::{Answer, Sender},
    resync::Resync,
    tenures::Terms,
    timers::{Timer, Timers},
};
use crate::{
    api::{
        error::{Loss, Result},
        guard::Release,
        name::RecordName,
        tenure::Tenure,
    },
    protocol::session::SessionId,
    runtime::attempt::FAR,
    store::sessions::{HeldEvent, NamedSession},
    util::{
        clock::{Clock, Moment},
        environment,
        watched::Watched,
    },
};

/// How many requests about locks are under way at once. Heartbeats are not among them.
const REQUESTS: usize = 28;

/// What waits for a request to end before it sends its own.
pub(super) enum Job {
    Lock(RecordName),
    Observe(SessionId),
    /// Deletes the record of a session that is over.
    Delete(NamedSession),
}

/// What a session has learned from answers, for locks that it does not know yet.
#[derive(Default)]
pub(super) struct Learned {
    /// The last record that was read did not exist, so the next unknown one is created without a read.
    pub(super) expects_absence: bool,
    /// The backend refuses requests that change parts of any record. They are tried again after this moment.
    pub(super) patches_refused_until: Moment,
    /// A warning has said so.
    pub(super) warned_of_patches: bool,
}

/// See the [module](self).
pub(super) struct Task {
    pub(super) sender: Sender,
    pub(super) clock: Clock,
    pub(super) identity: Arc<str>,
    pub(super) ttl: Duration,
    pub(super) beats: Beats,
    pub(super) status: Arc<Watched<Status>>,
    /// `None` until the session is created.
    pub(super) watch: Option<BoxStream<'static, HeldEvent>>,
    /// The session is created and its watch has begun, so locks may be claimed.
    pub(super) ready: bool,
    /// In boxes, because a B-tree leaves up to half of its places empty.
    pub(super) locks: BTreeMap<RecordName, Box<Lock>>,
    /// The locks that no caller wants, of which only the last known state is kept.
    pub(super) idle: BTreeSet<RecordName>,
    /// The watches of elections that a user observes.
    pub(super) elections: Elections,
    pub(super) tenures: BTreeMap<u64, (RecordName, Tenure)>,
    pub(super) observed: BTreeMap<SessionId, Observed>,
    pub(super) over: BTreeSet<SessionId>,
    pub(super) timers: Timers,
    pub(super) requests: FuturesUnordered<BoxFuture<'static, Answer>>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) releases: mpsc::UnboundedReceiver<Release>,
    pub(super) release_sender: mpsc::UnboundedSender<Release>,
    /// Reports that the session was created, or why not.
    pub(super) opened: Option<oneshot::Sender<Result<()>>>,
    /// The callers that wait for the end, once it was requested.
    pub(super) closing: Option<Vec<oneshot::Sender<Result<()>>>>,
    pub(super) orphaned: bool,
    pub(super) resync: Resync,
    /// How many locks wait for another session.
    pub(super) waits: u32,
    pub(super) learned: Learned,
}

impl Task {
    /// Runs until the session is closed, or its handles and guards are gone.
    pub(super) async fn run(mut self) {
        loop {
            self.beat();
            // Also here, because a guard that is dropped gives up its sender a little after its message.
            self.close_if_unused();
            if self.is_finished() {
                return self.finish().await;
            }
            let wait = self.timers.next().since(self.clock.now()).min(FAR);
            tokio::select! {
                biased;
                beat = self.beats.next() => self.beaten(beat),
                Some(answer) = self.requests.next() => self.answered(answer),
                () = sleep(wait) => self.timed(),
                Some(release) = self.releases.recv() => self.release(release),
                Some(event) = next(&mut self.watch) => self.watched(event),
                event = self.elections.next() => self.election_changed(event),
                command = self.commands.recv(), if !self.orphaned => self.command(command),
            }
        }
    }

    fn timed(&mut self) {
        let now = self.clock.now();
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Heartbeat => {}
                Timer::Validity => self.silent(now),
                Timer::Lock(record) => self.drive(&record),
                Timer::Observer(id) => self.observe(&id),
                Timer::Resync => self.resync(now),
                Timer::Collect => self.look_for_old(now),
                Timer::Close => self.beats.heartbeat.end(now),
            }
        }
    }

    /// Ends the session when no handle and no guard of it is left.
    pub(super) fn close_if_unused(&mut self) {
        // This task has one sender itself, and each guard has one.
        let unused = self.orphaned && self.releases.sender_strong_count() == 1;
        if unused && self.closing.is_none() {
            self.close(self.clock.now(), None);
        }
    }

    /// Ends all tenures and waits, releases all locks, and then ends the session.
    pub(super) fn close(&mut self, now: Moment, done: Option<oneshot::Sender<Result<()>>>) {
        if let Some(closing) = &mut self.closing {
            closing.extend(done);
            return;
        }
        self.closing = Some(done.into_iter().collect());
        // The locks that others wait for come first.
        let mut records: Vec<_> = self.locks.keys().cloned().collect();
        records.sort_by_key(|record| !self.locks[record].machine.is_requested());
        for record in records {
            if let Some(lock) = self.locks.get_mut(&record) {
                lock.end_candidates();
                lock.close();
            }
            self.drive(&record);
        }
        self.tenures.clear();
        self.timers.set(Timer::Close, now + self.ttl);
        // A session whose creation is under way is ended when that is answered, because its record would stay behind.
        if !self.beats.heartbeat.is_created() && !self.beats.is_under_way() {
            self.beats.heartbeat.abandon();
        }
    }

    fn is_finished(&mut self) -> bool {
        let now = self.clock.now();
        if self.closing.is_some() && self.is_settled() {
            self.beats.heartbeat.end(now);
            self.beat();
        }
        self.closing.is_some() && self.beats.heartbeat.is_lost()
    }

    /// No lock names this session. Before its watch has begun it has claimed none.
    fn is_settled(&self) -> bool {
        !self.ready || self.locks.values().all(|lock| lock.is_settled())
    }

    /// Deletes the record of the ended session if no lock names it, and reports the end.
    async fn finish(mut self) {
        let clean = self.is_settled();
        let is_over = self.beats.ended.is_some();
        if let Some(ended) = self.beats.ended.take().filter(|_| clean) {
            let id = self.beats.heartbeat.id().clone();
            let Sender { store, sessions, limit, .. } = &self.sender;
            let delete = store.delete_session(sessions, &id, &ended);
            // A record that stays behind is harmless: it says that the session is over.
            if let Ok(Err(error)) = tokio::time::timeout(*limit, delete).await {
                tracing::debug!(session = %id, %error, "the record of the session stays behind");
            }
        }
        self.report_end(true);
        let failed = self.beats.error.take().filter(|_| !clean || !is_over);
        let unsettled = self.locks.values().find(|lock| self.ready && !lock.is_settled());
        // Not the last failure of any request: a read may have succeeded since.
        let reason = |lock: &Lock| lock.failing.as_ref().map(|(_, error)| error.clone());
        let unsettled = unsettled.map(|lock| reason(lock).unwrap_or_else(|| self.silence()));
        let failed = failed.or(unsettled);
        for done in self.closing.take().unwrap_or_default() {
            let _ = done.send(failed.clone().map_or(Ok(()), Err));
        }
        // A message that is being sent at this moment would otherwise stay in its channel, unanswered, for as long as its
        // sender waits for the answer.
        self.commands.close();
        while self.commands.recv().await.is_some() {}
        self.releases.close();
        while self.releases.recv().await.is_some() {}
    }

    /// Says that there is no session any more.
    fn report_end(&self, closed: bool) {
        self.status.modify(|status| {
            status.ended = true;
            status.closed |= closed;
            status.validity = Moment::default();
            true
        });
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            holder: Arc::clone(&self.identity),
            clock: self.clock,
            validity: self.beats.heartbeat.validity(),
            overdue_at: self.beats.heartbeat.overdue_at(),
            releases: self.release_sender.clone(),
        }
    }

    /// Whether another request may be sent.
    pub(super) fn may_send(&self) -> bool {
        self.requests.len() < REQUESTS
    }

    /// Goes on with what waited for a request to end.
    pub(super) fn next_jobs(&mut self) {
        for _ in 0..self.jobs.len() {
            if !self.may_send() {
                return;
            }
            match self.jobs.pop_front() {
                Some(Job::Lock(record)) => {
                    if let Some(lock) = self.locks.get_mut(&record) {
                        lock.queued = false;
                    }
                    self.drive(&record);
                }
                Some(Job::Observe(id)) => self.observe(&id),
                Some(Job::Delete((id, found))) => {
                    self.requests.push(self.sender.delete(id, found));
                }
                None => return,
            }
        }
    }

    pub(super) fn random() -> u64 {
        environment::random()
    }
}

/// The next event; pending without a watch.
async fn next(watch: &mut Option<BoxStream<'static, HeldEvent>>) -> Option<HeldEvent> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

impl Drop for Task {
    /// The runtime ends, or the session is finished: nothing renews the tenures any more.
    fn drop(&mut self) {
        for (_, tenure) in self.tenures.values() {
            tenure.end(Loss::Abandoned);
        }
        self.report_end(false);
    }
}
