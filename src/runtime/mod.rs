//! Tasks, timers and queues: runs the protocol against a store on behalf of callers.

pub(crate) mod candidate;
pub(crate) mod candidates;
pub(crate) mod contender;
pub(crate) mod handle;
pub(crate) mod implement;
pub(crate) mod members;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod observer;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod standing;
pub(crate) mod telemetry;
