//! The checks C1 to C7. Each takes time linear in the number of events. C8 is `Faults::missing`.

pub(crate) mod at_rest;
pub(crate) mod causes;
pub(crate) mod expired_watches;
pub(crate) mod fencing;
pub(crate) mod foreign_fields;
pub(crate) mod leftovers;
pub(crate) mod liveness;
pub(crate) mod recreation;
pub(crate) mod repetition;
pub(crate) mod request_rate;
pub(crate) mod sessions;
pub(crate) mod takeover;
pub(crate) mod tokens;
pub(crate) mod turns;
