//! The checks C1 to C6 for locks of sessions.

pub(crate) mod claims;
pub(crate) mod exclusion;
pub(crate) mod handover;
pub(crate) mod heartbeat;
pub(crate) mod line;
pub(crate) mod order;
pub(crate) mod tokens;
