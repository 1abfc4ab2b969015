//! Reports of a program: which names it wants, and which tenures it holds.

use leasehold::{Guard, Tenure, TenureState};

use crate::channel::{Message, ProcessChannel};

/// A task wants a name until this is dropped.
pub(crate) struct Demand {
    channel: ProcessChannel,
    name: &'static str,
}

impl Demand {
    pub(crate) fn new(channel: &ProcessChannel, name: &'static str) -> Self {
        channel.send(Message::Demand { name, begins: true });
        Self { channel: channel.clone(), name }
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.channel.send(Message::Demand { name: self.name, begins: false });
    }
}

/// A tenure in use. It reports its end before the guard is released.
pub(crate) struct TrackedTenure {
    channel: ProcessChannel,
    name: &'static str,
    pub(crate) tenure: Tenure,
    guard: Option<Guard>,
}

impl TrackedTenure {
    pub(crate) fn new(channel: &ProcessChannel, name: &'static str, guard: Guard) -> Self {
        let mut tracked = Self::without_guard(channel, name, guard.tenure());
        tracked.guard = Some(guard);
        tracked
    }

    /// A tenure whose guard is not available, such as inside `Leader::run`.
    pub(crate) fn without_guard(
        channel: &ProcessChannel,
        name: &'static str,
        tenure: Tenure,
    ) -> Self {
        channel.send(Message::TenureBegan { name, tenure: tenure.clone() });
        Self { channel: channel.clone(), name, tenure, guard: None }
    }

    /// Reports the end, and returns the guard to a caller that releases it explicitly.
    pub(crate) fn end(mut self) -> Option<Guard> {
        self.guard.take()
    }
}

impl Drop for TrackedTenure {
    fn drop(&mut self) {
        let lost = match self.tenure.state() {
            TenureState::Lost(why) => Some(why),
            _ => None,
        };
        let token = self.tenure.token().get();
        self.channel.send(Message::TenureEnded { name: self.name, token, lost });
    }
}
