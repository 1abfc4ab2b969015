//! Requests on their way to the store, and their answers on the way back, in time or late.

use std::{sync::Arc, time::Duration};

use super::world::World;
use crate::{
    protocol::{
        machine::{Input, LateAnswer, Outcome, SentWrite},
        record::{Version, Versioned, Whole, Write, WriteKind},
    },
    util::clock::Moment,
};

/// A request of a contender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) from: usize,
    pub(super) seed: u64,
    /// The tick at which the request was sent, and the time on the clock of its sender.
    pub(super) sent: u32,
    pub(super) sent_at: Moment,
    /// The highest version that the sender had processed by then.
    pub(super) highest: u64,
    /// The ttl of the last record that the sender saw, if another process held it.
    pub(super) foreign_ttl: Option<Duration>,
    /// The write; `None` for a read.
    pub(super) write: Option<Write>,
    /// The answer on its way back; `None` until the request has reached the store.
    pub(super) answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Found(Arc<Versioned>),
    /// There is no record, at this version of the store.
    Absent(u64),
    Stored(Arc<Versioned>),
    Gone,
    Conflict,
}

impl World {
    pub(super) fn reach_store(&mut self, at: usize) {
        let Some(mut request) = self.contenders[at].in_flight.take() else { return };
        request.answer = Some(self.carry_out(&request));
        self.contenders[at].in_flight = Some(request);
    }

    pub(super) fn reach_store_late(&mut self, at: usize) {
        let mut request = self.late.remove(at);
        request.answer = Some(self.carry_out(&request));
        self.go_on_late(request);
    }

    pub(super) fn deliver(&mut self, at: usize) {
        let request = self.contenders[at].in_flight.take();
        let Some(answer) = request.and_then(|request| request.answer) else { return };
        self.note_answer(at, &answer);
        // The contender sent this read after each of its writes that has no answer yet.
        if let Answer::Absent(version) = answer {
            self.contenders[at].absent_at = version;
        }
        let input = match answer {
            Answer::Found(found) => Input::Read(Ok(Some(found))),
            Answer::Absent(_) => Input::Read(Ok(None)),
            Answer::Stored(found) => Input::Wrote(Outcome::Stored(found)),
            Answer::Gone => Input::Wrote(Outcome::Gone),
            Answer::Conflict => Input::Wrote(Outcome::Conflict),
        };
        self.step(at, input);
    }

    pub(super) fn deliver_late(&mut self, at: usize) {
        let Request { from, sent_at, highest, write, answer, .. } = self.late.remove(at);
        let Some(answer) = answer else { return };
        self.note_answer(from, &answer);
        let found = |found| LateAnswer::Read { sent_at, highest, found };
        let wrote = |outcome| {
            let write = write.as_ref().expect("the request was a write");
            LateAnswer::Write(SentWrite::of(write), outcome)
        };
        let late = match answer {
            Answer::Found(record) => found(Some(record)),
            Answer::Absent(_) => found(None),
            Answer::Stored(record) => wrote(Outcome::Stored(record)),
            Answer::Gone => wrote(Outcome::Gone),
            Answer::Conflict => wrote(Outcome::Conflict),
        };
        self.step(from, Input::Late(late));
    }

    /// The sender does not wait for this request any more, but the request goes on.
    pub(super) fn go_on_late(&mut self, request: Request) {
        self.late.push(request);
        self.settle_late();
    }

    /// A late write that cannot be stored any more is a conflict, and a request whose sender has crashed matters only
    /// if it may still be stored.
    pub(super) fn settle_late(&mut self) {
        for mut request in std::mem::take(&mut self.late) {
            if let (Some(write), None) = (&request.write, &request.answer)
                && !self.may_store(&request)
            {
                request.answer = Some(self.refusal(write));
            }
            let crashed = self.contenders[request.from].seed != request.seed;
            if !crashed || request.write.is_some() && request.answer.is_none() {
                self.late.push(request);
            }
        }
    }

    fn note_answer(&mut self, at: usize, answer: &Answer) {
        if let Answer::Found(found) | Answer::Stored(found) = answer {
            self.note_observed(at, found);
        }
    }

    fn carry_out(&mut self, request: &Request) -> Answer {
        match (&request.write, &self.record) {
            (None, Some(found)) => Answer::Found(Arc::clone(found)),
            (None, None) => Answer::Absent(self.version),
            (Some(write), _) => self.store(request, write),
        }
    }

    fn may_store(&self, request: &Request) -> bool {
        let base = |write: &Write| write.base.as_ref().map(|base| base.version.clone());
        let current = self.record.as_ref().map(|found| found.version.clone());
        request.write.as_ref().is_some_and(|write| base(write) == current)
    }

    /// The answer to a write that cannot be stored. Where there is no record, a deletion counts as carried out.
    fn refusal(&self, write: &Write) -> Answer {
        let gone = write.kind == WriteKind::Delete && self.record.is_none();
        if gone { Answer::Gone } else { Answer::Conflict }
    }

    /// Compare and swap.
    fn store(&mut self, request: &Request, write: &Write) -> Answer {
        if !self.may_store(request) {
            return self.refusal(write);
        }
        self.check_commit(request, write);
        if write.kind == WriteKind::Delete {
            assert!(write.base.is_some(), "a deletion has a base");
            self.change(None);
            return Answer::Gone;
        }
        let number = (self.version + 1).try_into().expect("a version is not zero");
        let uid = write
            .base
            .as_ref()
            .map_or_else(|| format!("u{number}").into(), |base| Arc::clone(&base.version.uid));
        let version = Version { number, uid };
        let record = write.record.clone();
        let found = Arc::new(Versioned { version, record, age: None, whole: Whole::default() });
        self.change(Some(Arc::clone(&found)));
        Answer::Stored(found)
    }
}
