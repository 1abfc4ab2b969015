//! Tasks, timers and queues: runs the protocol against a store on behalf of callers.

mod attempt;
mod candidate;
mod candidates;
mod contender;
mod contender_status;
mod contenders;
pub(crate) mod handle;
pub(crate) mod implement;
#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub(crate) mod inspect;
mod leftovers;
mod limiter;
mod membership;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod observer;
mod outage;
mod queue;
mod request;
mod requests;
pub(crate) mod roster;
pub(crate) mod seen;
pub(crate) mod session;
mod telemetry;
#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub(crate) mod watches;
