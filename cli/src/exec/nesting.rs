//! The locks that are held around this process. Waiting for one of them from inside could last forever: an exclusive
//! lock is not released before this process ends, and a shared one or a slot would be queued behind a process that waits
//! for the end of the outer one.

use crate::exit::{Failure, Outcome};

/// The environment variable: a JSON array of `NAMESPACE/NAME@PLACE`, outermost first.
pub(crate) const VARIABLE: &str = "LEASEHOLD_CHAIN";

/// How the environment variable begins in processes below the command that has these `variables`, also below a further
/// lock.
pub(crate) fn mark(variables: &[(&str, String)]) -> String {
    let chain = variables.iter().find(|(name, _)| *name == VARIABLE).map(|(_, chain)| &**chain);
    let chain = chain.unwrap_or_default();
    format!("{VARIABLE}={}", chain.strip_suffix(']').unwrap_or(chain))
}

/// The locks that the parents of this process hold, as their environment variable says.
#[derive(Debug)]
pub(crate) struct Nesting(Vec<String>);

impl Nesting {
    pub(crate) fn inherited() -> Self {
        let value = std::env::var(VARIABLE).unwrap_or_default();
        // A value of another program is not an error: it means no locks.
        Self(serde_json::from_str(&value).unwrap_or_default())
    }

    /// Adds a lock.
    ///
    /// # Errors
    ///
    /// The lock is held around this process already.
    pub(crate) fn with(
        mut self,
        object: &str,
        name: &str,
        namespace: &str,
        place: &str,
        busy_code: u8,
    ) -> Outcome<Self> {
        let entry = format!("{namespace}/{name}@{place}");
        if self.0.contains(&entry) {
            let line = format!(
                "{object} in namespace `{namespace}` is already held by the `leasehold` process around this one \
                    ({VARIABLE}), so a wait could last forever. Choose another name"
            );
            return Err(Failure::new(busy_code, line));
        }
        self.0.push(entry);
        Ok(self)
    }

    pub(crate) fn variable(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}
