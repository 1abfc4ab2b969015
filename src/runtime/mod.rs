//! Tasks, timers and queues: runs the protocol against a store on behalf of callers.

mod attempt;
mod candidate;
mod candidates;
mod contender;
mod contender_status;
mod contenders;
pub(crate) mod handle;
pub(crate) mod implement;
mod membership;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod observer;
mod queue;
mod request;
pub(crate) mod roster;
pub(crate) mod seen;
mod telemetry;
