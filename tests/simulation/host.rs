//! A host: the rate of its clock, its connection to the server, and the process that runs on it.

use crate::{
    checks::request_rate::RequestRate,
    connections::{Connections, Credential},
    process::Process,
    scenario::MS,
};

/// The clock of one incarnation. It shows zero when the process starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    pub(crate) started: u64,
    /// The speed of this clock, in millionths of true time.
    pub(crate) rate: u64,
}

impl HostClock {
    /// What this clock shows at a true time, in whole milliseconds.
    pub(crate) const fn local_time(self, at: u64) -> u64 {
        at.saturating_sub(self.started) * self.rate / 1_000_000 / MS
    }

    /// The true time at which this clock shows `local` milliseconds.
    pub(crate) const fn true_time(self, local: u64) -> u64 {
        self.started + (local * MS * 1_000_000).div_ceil(self.rate)
    }
}

/// A host and its faults.
pub(crate) struct Host {
    pub(crate) incarnation: u64,
    pub(crate) rate: u64,
    pub(crate) process: Option<Process>,
    pub(crate) paused_until: u64,
    /// The host has no connection from `cut_from` to `cut_until`. Until `cut_from`, replies are slow.
    pub(crate) cut_from: u64,
    pub(crate) cut_until: u64,
    /// When the host was last paused or disconnected, or when its process started.
    pub(crate) available_since: u64,
    /// The error of the wall clock, in seconds.
    pub(crate) skew: i64,
    pub(crate) request_rate: RequestRate,
    pub(crate) connections: Connections,
    pub(crate) credential: Credential,
}

impl Host {
    pub(crate) const fn is_cut(&self, at: u64) -> bool {
        self.cut_from <= at && at < self.cut_until
    }

    pub(crate) fn new(rate: u64) -> Self {
        Self {
            incarnation: 0,
            rate,
            process: None,
            paused_until: 0,
            cut_from: 0,
            cut_until: 0,
            available_since: 0,
            skew: 0,
            request_rate: RequestRate::default(),
            connections: Connections::default(),
            credential: Credential::default(),
        }
    }
}
