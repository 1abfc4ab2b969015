//! What must be true, looked at in time linear in what happens.

pub(crate) mod causes;
pub(crate) mod fenced;
pub(crate) mod leftovers;
pub(crate) mod liveness;
pub(crate) mod outdated;
pub(crate) mod preserved;
pub(crate) mod recreation;
pub(crate) mod requests;
pub(crate) mod takeover;
pub(crate) mod tokens;
