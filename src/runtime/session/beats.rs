//! The heartbeat of a session: its requests, and what becomes of the session.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};

use super::{
    callers::Caller, lock::Lock, meter::BeatMeter, requests::SessionRequest, task::Task,
    timers::Timer,
};
use crate::{
    api::{
        error::{Error, Loss},
        name::RecordName,
        tenure::Tenure,
    },
    protocol::{
        record::Nonce,
        session::{
            SessionAnswer, SessionId, SessionRecord, Stored,
            heartbeat::{Beat, Heartbeat},
        },
    },
    runtime::{
        outage::{Outage, Subject},
        telemetry::Renewal,
    },
    store::sessions::HeldEvent,
    util::clock::Moment,
};

/// How long a heartbeat may take in all: as long as a Kubernetes API server works on one request. One that is answered
/// after its attempt still counts, from the moment at which it was sent.
const LONGEST: Duration = Duration::from_secs(60);
/// The pause between two attempts to create a session.
const CREATE_PAUSE: Duration = Duration::from_millis(500);

/// A heartbeat that was answered.
pub(super) struct Beaten {
    number: u64,
    session: SessionId,
    sent_at: Moment,
    answer: SessionAnswer,
    error: Option<Error>,
}

/// The heartbeat of the present session, and its requests under way.
pub(super) struct Beats {
    pub(super) heartbeat: Heartbeat,
    requests: FuturesUnordered<BoxFuture<'static, Beaten>>,
    /// The number of the last request.
    number: u64,
    /// When the last request was sent, until its answer.
    unanswered: Option<Moment>,
    /// The last failure, until a heartbeat is confirmed.
    pub(super) error: Option<Error>,
    /// The record of the session, after this task has ended it.
    pub(super) ended: Option<Arc<Stored<SessionRecord>>>,
    outage: Outage,
    /// How many sessions in a row could not be created.
    failures: u32,
    /// Tenures were given up because no heartbeat was confirmed in time.
    silent: bool,
    meter: BeatMeter,
}

impl Beats {
    pub(super) fn new(heartbeat: Heartbeat) -> Self {
        Self {
            heartbeat,
            requests: FuturesUnordered::new(),
            number: 0,
            unanswered: None,
            error: None,
            ended: None,
            outage: Outage::default(),
            failures: 0,
            silent: false,
            meter: BeatMeter::new(),
        }
    }

    /// Keeps the outcome of a heartbeat, and warns if failures last.
    fn note(&mut self, now: Moment, session: &SessionId, error: Option<Error>) {
        if let Some(error) = &error {
            self.outage.failed(error);
        }
        self.outage.update(now, error.is_some(), true, &Subject::Session(session));
        self.error = error;
    }

    /// No heartbeat was confirmed in time, and none since.
    pub(super) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// The answer to the last request is still to come.
    pub(super) const fn is_under_way(&self) -> bool {
        self.unanswered.is_some()
    }

    /// The next answer; pending without a request.
    pub(super) async fn next(&mut self) -> Beaten {
        match self.requests.next().await {
            Some(beaten) => beaten,
            None => std::future::pending().await,
        }
    }
}

impl Task {
    /// Sends the heartbeat if it is due.
    pub(super) fn beat(&mut self) {
        loop {
            let now = self.clock.now();
            self.beats.heartbeat.tick(now);
            self.beats.heartbeat.set_random(Self::random());
            let request = match self.beats.heartbeat.next(now) {
                Beat::Create(record) => SessionRequest::Create(record),
                Beat::Renew(base, record) | Beat::End(base, record) => {
                    SessionRequest::Replace(base, record)
                }
                Beat::Read => SessionRequest::Read,
                Beat::Sleep(until) => return self.timers.set(Timer::Heartbeat, until),
                Beat::Lost if self.closing.is_some() => return,
                Beat::Lost => {
                    self.replace(now);
                    continue;
                }
            };
            if let Some(sent_at) = self.beats.unanswered.replace(now) {
                let (id, error) =
                    (self.beats.heartbeat.id().clone(), self.sender.no_answer(now - sent_at));
                self.beats.note(now, &id, Some(error));
                self.beats.meter.ended(Renewal::Unknown, now - sent_at);
            }
            self.beats.number += 1;
            let (number, sent_at) = (self.beats.number, now);
            let (sender, session) = (self.sender.clone(), self.beats.heartbeat.id().clone());
            self.beats.requests.push(Box::pin(async move {
                let (answer, error) = sender.session(&session, request, LONGEST).await;
                Beaten { number, session, sent_at, answer, error }
            }));
        }
    }

    /// A heartbeat was answered.
    pub(super) fn beaten(&mut self, beaten: Beaten) {
        let Beaten { number, session, sent_at, answer, error } = beaten;
        if session != *self.beats.heartbeat.id() {
            return;
        }
        let now = self.clock.now();
        if let Some(error) = &error {
            tracing::debug!(%session, %error, "a heartbeat failed");
            self.refuse_opening(error);
        }
        let late = number != self.beats.number;
        if let Some(sent_at) = self.beats.unanswered.take_if(|_| !late) {
            self.beats.meter.answered(&answer, error.as_ref(), now - sent_at);
        }
        let refusal = error.clone().filter(|error| !late && !error.is_transient());
        let confirmed = matches!(answer, SessionAnswer::Written(_));
        let pause = match &error {
            Some(Error::Unavailable { retry_after, .. }) if !late => *retry_after,
            _ => None,
        };
        if confirmed || error.is_some() {
            self.beats.note(now, &session, error);
        }
        if let SessionAnswer::Written(stored) = &answer
            && stored.record.is_over()
        {
            self.beats.ended = Some(Arc::clone(stored));
        }
        let created = self.beats.heartbeat.is_created();
        self.beats.heartbeat.answered(now, sent_at, late, answer);
        if let Some(pause) = pause {
            self.beats.heartbeat.pause(now, pause);
        }
        if let Some(refusal) = refusal.filter(|_| !created || self.beats.is_silent()) {
            self.refuse_callers(now, &refusal);
        }
        if !self.beats.heartbeat.is_lost() && confirmed {
            if !created && self.closing.is_none() {
                self.created();
            }
            self.extend(now);
        }
    }

    /// The first session exists: its watch begins, and then locks can be claimed.
    fn created(&mut self) {
        let id = self.beats.heartbeat.id().clone();
        self.beats.failures = 0;
        self.watch = Some(self.sender.store.watch_held(&self.sender.namespace, &id));
        tracing::debug!(session = %id, identity = %self.identity, "session created");
    }

    /// Moves all deadlines to what the last heartbeat confirmed, and hands out what waited for it.
    fn extend(&mut self, now: Moment) {
        let terms = self.terms();
        self.beats.silent = false;
        self.timers.set(Timer::Validity, terms.validity);
        // A caller may have seen a tenure as over just before. It stays over.
        self.expire_tenures(|tenure| !tenure.extend(terms.validity, terms.overdue_at));
        self.status.modify(|status| {
            status.validity = terms.validity;
            true
        });
        let granted = |lock: &Lock| {
            let granted = |caller: &Caller| matches!(caller, Caller::Granted(..));
            lock.callers.values().any(granted)
        };
        let records: Vec<_> = self.locks.iter().filter(|(_, lock)| granted(lock)).collect();
        let records: Vec<_> = records.into_iter().map(|(record, _)| record.clone()).collect();
        for record in records {
            let Some(lock) = self.locks.get_mut(&record) else { continue };
            let nonces = lock.callers.nonces();
            let begun: Vec<_> =
                nonces.into_iter().filter_map(|nonce| lock.begin(now, nonce, &terms)).collect();
            self.begun(&record, begun);
            // A candidate takes its guard.
            self.drive(&record);
        }
    }

    /// No heartbeat was confirmed in time: all tenures are over, for good. The session may still be alive.
    pub(super) fn silent(&mut self, now: Moment) {
        if now < self.beats.heartbeat.validity() || self.beats.silent {
            return;
        }
        self.beats.silent = true;
        self.expire_tenures(|_| true);
        let error = Err(self.silence());
        for lock in self.locks.values_mut() {
            lock.answer_leaving(&error);
        }
    }

    /// Why no heartbeat was confirmed in time.
    pub(super) fn silence(&self) -> Error {
        self.beats.error.clone().unwrap_or_else(|| self.sender.no_answer(self.ttl))
    }

    /// Ends the selected tenures, because they were not confirmed in time. Their claims leave the record. The release of a
    /// guard that was given up a moment ago is still to come, so that tenure stays.
    fn expire_tenures(&mut self, selected: impl Fn(&Tenure) -> bool) {
        let over = |(_, (_, tenure)): &(&u64, &(RecordName, Tenure))| {
            selected(tenure) && {
                tenure.end(Loss::Expired);
                tenure.why() == Loss::Expired
            }
        };
        let over: Vec<_> = self.tenures.iter().filter(over).map(|(nonce, _)| *nonce).collect();
        for nonce in over {
            let Some((record, _)) = self.tenures.remove(&nonce) else { continue };
            if let Some(lock) = self.locks.get_mut(&record) {
                lock.lose(nonce);
            }
            self.drive(&record);
        }
    }

    /// The session is over. Begins a new one; the waits that still want their lock join its queue again, at its end.
    fn replace(&mut self, now: Moment) {
        let (id, created) = (self.beats.heartbeat.id().clone(), self.beats.heartbeat.is_created());
        (self.ready, self.watch) = (false, None);
        self.tenures.clear();
        // The answers to requests of the earlier session must not count as answers to those of the next one.
        self.requests.clear();
        self.observed.clear();
        self.jobs.clear();
        self.idle.clear();
        self.waits = 0;
        if created {
            tracing::warn!(session = %id, "the session is over: all its locks are lost");
            self.status.modify(|status| {
                status.lost += 1;
                status.validity = Moment::default();
                true
            });
        }
        let pause =
            if created { Duration::ZERO } else { CREATE_PAUSE * self.beats.failures.min(10) };
        self.beats.failures += 1;
        self.beats.unanswered = None;
        let next = id.successor([Self::random(), Self::random()]);
        self.beats.heartbeat =
            Heartbeat::new(now + pause, next.clone(), Arc::clone(&self.identity));
        self.status.modify(|status| {
            status.id = next.to_arc();
            false
        });
        for (record, mut lock) in std::mem::take(&mut self.locks) {
            let key = Arc::clone(&lock.key);
            let candidates = std::mem::take(&mut lock.candidates);
            let (waiting, earlier) = lock.abandon();
            if waiting.is_empty() && candidates.is_empty() {
                continue;
            }
            let mut machine = self.new_machine();
            machine.inherit(earlier);
            let mut lock = Lock::new(key, machine);
            for waiting in waiting {
                lock.claim(now, Nonce(Self::random()), waiting);
            }
            lock.candidates = candidates;
            lock.campaign(now);
            self.locks.insert(record, Box::new(lock));
        }
    }

    /// A refusal ends the attempt to open a session; true if it does. A failure is repeated.
    fn refuse_opening(&mut self, error: &Error) -> bool {
        if self.opened.is_some() {
            self.status.modify(|status| {
                status.failure = Some(error.clone());
                false
            });
        }
        let Some(opened) = self.opened.take_if(|_| !error.is_transient()) else { return false };
        let _ = opened.send(Err(error.clone()));
        self.closing.get_or_insert_default();
        let now = self.clock.now();
        self.timers.set(Timer::Close, now + self.ttl);
        if self.beats.heartbeat.is_created() {
            self.beats.heartbeat.end(now);
        } else {
            self.beats.heartbeat.abandon();
        }
        true
    }

    /// The backend refuses to create or to renew the session, and no lock can be held without one: callers that wait get
    /// the error. Candidates claim again after a pause.
    fn refuse_callers(&mut self, now: Moment, error: &Error) {
        let records: Vec<_> = self.locks.keys().cloned().collect();
        for record in records {
            let Some(lock) = self.locks.get_mut(&record) else { continue };
            // A new candidate has no claim yet.
            lock.campaign(now);
            lock.expire_all(error);
            self.drive(&record);
            let terms = self.terms();
            let Some(lock) = self.locks.get_mut(&record) else { continue };
            lock.campaign(now);
            let begun = lock.deliver(now, &terms);
            self.begun(&record, begun);
        }
    }

    /// The watch reports something.
    pub(super) fn watched(&mut self, event: HeldEvent) {
        let now = self.clock.now();
        match event {
            HeldEvent::All(held) | HeldEvent::Some(held) => self.listed(now, held),
            HeldEvent::Set(held) => self.seen(now, held),
            HeldEvent::Gone(record, version) => {
                if let Some(lock) = self.locks.get_mut(&record) {
                    lock.machine.unlabelled(version);
                    self.drive(&record);
                }
            }
            HeldEvent::Blind(error) => {
                tracing::debug!(session = %self.beats.heartbeat.id(), %error, "the watch is interrupted");
                // Without permission to list and watch, grants would be seen late.
                if self.refuse_opening(&error) {
                    return;
                }
            }
        }
        if !self.ready {
            self.begin(now);
        }
    }

    /// Locks can be claimed from now on.
    fn begin(&mut self, now: Moment) {
        self.ready = true;
        self.schedule_resync(now);
        self.schedule_collection(now);
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Ok(()));
        }
        let records: Vec<_> = self.locks.keys().cloned().collect();
        for record in &records {
            self.drive(record);
        }
    }
}
