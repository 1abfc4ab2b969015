//! C3: a resource that rejects tokens below its highest, from the first read on, loses no acknowledged update.

use leasehold_test_support::Violation;

/// The resource that a lock protects: a counter. Holders read it, and write the value plus one.
#[derive(Debug, Default)]
pub(crate) struct FencedResource {
    highest: u64,
    value: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
}

impl FencedResource {
    /// Reads the value, or writes it. Returns the new value; `None` if the token is rejected.
    pub(crate) fn access(&mut self, token: u64, write: Option<u64>) -> Option<u64> {
        if token < self.highest {
            self.refused += 1;
            return None;
        }
        self.highest = token;
        if let Some(value) = write {
            self.value = value;
            self.acknowledged += 1;
        }
        Some(self.value)
    }

    pub(crate) fn check(&self, name: &str) -> Option<Violation> {
        let lost = self.acknowledged.abs_diff(self.value);
        let what = format!(
            "the resource of `{name}` lost {lost} of {} acknowledged updates",
            self.acknowledged
        );
        (lost > 0).then(|| Violation::new("C3", what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_write_with_an_older_token_is_refused() {
        let mut resource = FencedResource::default();
        let read = resource.access(1, None).unwrap();
        resource.access(2, None).unwrap();
        assert_eq!(resource.access(1, Some(read + 1)), None);
        assert_eq!(resource.check("a"), None);
    }

    #[test]
    fn a_lost_acknowledged_update_is_a_violation() {
        let mut resource = FencedResource::default();
        for read in [resource.access(1, None).unwrap(), resource.access(1, None).unwrap()] {
            resource.access(1, Some(read + 1));
        }
        assert_eq!(resource.check("a").unwrap().check, "C3");
    }
}
