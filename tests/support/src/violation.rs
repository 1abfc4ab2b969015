//! A broken guarantee.

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the check, such as `C1`.
    pub check: &'static str,
    /// What was wrong.
    pub what: String,
}

impl Violation {
    /// What `check` found.
    pub fn new(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, what: what.into() }
    }
}
