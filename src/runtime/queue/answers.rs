//! Answers to callers whose wait is over, and to those that wait for a release.

use std::sync::Arc;

use super::{Queue, waiters::Patience};
use crate::{
    api::error::Error,
    protocol::machine::{self, Status},
    util::clock::Moment,
};

impl Queue {
    /// Ends the waits that are over: by their deadline, or because waiting cannot help. Returns whether a single try needs
    /// another read: what is known is older than its call, and the holder may have left before it.
    pub(super) fn turn_away(&mut self, now: Moment, status: &Status, unanswered: bool) -> bool {
        if let Some(holder) = self.other_holder(status) {
            self.other = Some(holder);
        }
        let hopeless = self.failure.as_ref().is_some_and(|error| !error.is_transient());
        if let (true, None, Some(error)) = (hopeless, &self.tenure, &self.failure) {
            while let Some(request) = self.waiters.pop() {
                let _ = request.reply.send(Err(error.clone()));
            }
        }
        let taken = self.tenure.is_some() || self.turns.is_pause(now);
        if !(status.waiting || status.failing || taken) {
            return false;
        }
        let patience = if unanswered && status.failing && self.tenure.is_none() {
            Patience::Long
        } else if status.failing || taken {
            Patience::None
        } else {
            Patience::UntilRead(self.read_at)
        };
        while let Some(request) = self.waiters.pop_overdue(now, patience) {
            let error = match &self.failure {
                Some(error) if status.failing => error.clone(),
                _ => {
                    let closed = status.closed.as_ref();
                    request.wait_over(now, &self.name, self.present_holder(), closed)
                }
            };
            let _ = request.reply.send(Err(error));
        }
        patience != Patience::Long && self.waiters.next_is_overdue(now)
    }

    /// For the error of a caller whose wait is over.
    fn present_holder(&self) -> String {
        let other = self.other.as_ref().filter(|_| self.tenure.is_none());
        other.unwrap_or(&self.identity).to_string()
    }

    /// Answers the callers that wait for a release: once the record is out of this machine's hands, or once the
    /// store refuses the release. Only a person can change a refusal; the machine goes on trying in the background.
    pub(super) fn answer_releases(&mut self, status: &Status) {
        if self.releasing.is_empty() {
            return;
        }
        let refused = |error: &Error| {
            let holder = status.record.as_ref().and_then(|found| found.record.holder.as_ref());
            !error.is_transient() && holder == Some(&self.identity)
        };
        let answer = match (status.release, &self.failure) {
            (machine::Release::LeftToExpire, Some(error)) => Err(error.clone()),
            (machine::Release::Pending, Some(error)) if refused(error) => Err(error.clone()),
            (machine::Release::Pending, _) => return,
            (machine::Release::Done | machine::Release::LeftToExpire, _) => Ok(()),
        };
        for done in self.releasing.drain(..) {
            let _ = done.send(answer.clone());
        }
    }

    /// The holder that the record names, if that is another. What is left there of an own past tenure does not count.
    pub(super) fn other_holder(&self, status: &Status) -> Option<Arc<str>> {
        let holder = status.record.as_ref()?.record.holder.as_ref()?;
        (**holder != *self.identity || status.waiting).then(|| Arc::clone(holder))
    }
}
