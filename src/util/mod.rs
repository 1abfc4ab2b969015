//! Small building blocks that know nothing of locks.

#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub(crate) mod backoff;
pub(crate) mod clock;
#[cfg_attr(leasehold_simulation, path = "simulated.rs")]
pub(crate) mod environment;
pub(crate) mod mutex;
pub(crate) mod watched;
