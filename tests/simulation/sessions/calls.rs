//! Reports of the tasks of a process: which locks they wait for, and which guards they hold.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use leasehold::{Guard, Loss, Tenure, TenureState};

use crate::{
    channel::{Message, ProcessChannel},
    checks::sessions::{exclusion::Belief, line::Mode},
    process::Process,
};

/// What a task reports of one call of `lock`.
pub(crate) enum CallMessage {
    Began {
        name: &'static str,
        mode: Mode,
        names: u64,
    },
    Granted(Tenure),
    /// The tenure ended, with the reason if its user did not end it.
    TenureEnded(Option<Loss>),
    Ended,
}

/// The numbers of the calls of one process.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<AtomicU64>);

/// One call of `lock`, until its guard is released or dropped.
pub(crate) struct TrackedCall {
    channel: ProcessChannel,
    number: u64,
    tenure: Option<Tenure>,
    guard: Option<Guard>,
}

impl TrackedCall {
    /// A call that locks `names` names, one after the other.
    pub(crate) fn new(
        channel: &ProcessChannel,
        calls: &Calls,
        (name, mode): (&'static str, Mode),
        names: u64,
    ) -> Self {
        let number = calls.0.fetch_add(1, Ordering::Relaxed);
        let call = Self { channel: channel.clone(), number, tenure: None, guard: None };
        call.report(CallMessage::Began { name, mode, names });
        call
    }

    pub(crate) fn granted(&mut self, guard: Guard) -> Tenure {
        let tenure = guard.tenure();
        self.report(CallMessage::Granted(tenure.clone()));
        (self.tenure, self.guard) = (Some(tenure.clone()), Some(guard));
        tenure
    }

    /// Reports the end of the tenure, and returns the guard to a caller that releases it.
    pub(crate) fn end(mut self) -> Option<Guard> {
        self.guard.take()
    }

    fn report(&self, message: CallMessage) {
        self.channel.send(Message::Call { number: self.number, message });
    }
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        if let Some(tenure) = &self.tenure {
            let lost = match tenure.state() {
                TenureState::Lost(why) => Some(why),
                _ => None,
            };
            self.report(CallMessage::TenureEnded(lost));
        }
        self.report(CallMessage::Ended);
    }
}

/// A call as the world knows it.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    pub(crate) names: u64,
    pub(crate) since: u64,
    pub(crate) held: Option<HeldGuard>,
}

/// A guard that a task holds.
pub(crate) struct HeldGuard {
    tenure: Tenure,
    since: u64,
    /// When the guard ends without another heartbeat.
    until: u64,
}

impl Call {
    /// The guard of this call began at `since`.
    pub(crate) fn granted(&mut self, tenure: Tenure, since: u64) {
        self.held = Some(HeldGuard { tenure, since, until: since });
    }

    /// Takes the guard away, which ended at `at` at the latest.
    pub(crate) fn end(&mut self, owner: (usize, u64), at: u64) -> Option<Belief> {
        let HeldGuard { tenure, since, until } = self.held.take()?;
        // A guard that was never polled was held until its end, because its first deadline is later than that.
        let until = if until > since { until.min(at) } else { at };
        Some(Belief {
            owner: Some(owner),
            mode: self.mode,
            slot: tenure.slot(),
            token: tenure.token().get(),
            since,
            until: until.max(since),
        })
    }

    pub(crate) fn slot(&self) -> Option<u16> {
        self.held.as_ref().and_then(|held| held.tenure.slot())
    }
}

impl Process {
    /// Updates the deadline of each guard. Returns the calls whose guard is no longer held, each with the reason.
    pub(crate) fn poll_calls(&mut self) -> Vec<(u64, Loss)> {
        let (clock, local) = (self.clock, self.local());
        let _entered = self.runtime.enter();
        let mut ended = Vec::new();
        for (number, call) in &mut self.calls {
            let Some(held) = &mut call.held else { continue };
            if held.tenure.is_held() {
                let left = held.tenure.remaining().as_millis();
                held.until =
                    clock.true_time(local + u64::try_from(left).expect("fewer than 2^64 ms") + 1);
            } else {
                let loss = match held.tenure.state() {
                    TenureState::Lost(loss) => loss,
                    _ => Loss::Abandoned,
                };
                ended.push((*number, loss));
            }
        }
        ended
    }
}
