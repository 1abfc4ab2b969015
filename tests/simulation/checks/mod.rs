//! What must be true, looked at in time linear in what happens.

pub(crate) mod causes;
pub(crate) mod fenced;
pub(crate) mod leftovers;
pub(crate) mod liveness;
pub(crate) mod outdated;
pub(crate) mod overlap;
pub(crate) mod preserved;
pub(crate) mod requests;
pub(crate) mod takeover;
pub(crate) mod tokens;

/// What was wrong, under its name in the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) check: &'static str,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, what: what.into() }
    }
}
