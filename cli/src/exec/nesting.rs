//! The locks that are held around this process, so that none of them is waited for from within.

use crate::exit::{Failure, Outcome};

/// The variable: a JSON array of `NAMESPACE/NAME@SERVER`, outermost first.
pub(crate) const VARIABLE: &str = "LEASEHOLD_CHAIN";

/// The locks held by the processes above this one, as they said.
#[derive(Debug)]
pub(crate) struct Chain(Vec<String>);

impl Chain {
    pub(crate) fn inherited() -> Self {
        let said = std::env::var(VARIABLE).unwrap_or_default();
        // Somebody else's variable says nothing about locks.
        Self(serde_json::from_str(&said).unwrap_or_default())
    }

    /// The chain with one more lock, unless that is held already.
    pub(crate) fn with(
        mut self,
        object: &str,
        name: &str,
        namespace: &str,
        server: &str,
        busy: u8,
    ) -> Outcome<Self> {
        let entry = format!("{namespace}/{name}@{server}");
        if self.0.contains(&entry) {
            let line = format!(
                "{object} in namespace `{namespace}` is held already by the `leasehold` that this runs in ({VARIABLE}): waiting for it would never end. Choose another name"
            );
            return Err(Failure::new(busy, line));
        }
        self.0.push(entry);
        Ok(self)
    }

    pub(crate) fn variable(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}
