//! C6: the requests of one process stay under a bound, whatever happens; and it leaves no watch and no task behind.

use super::Violation;
use crate::scene::SEC;

/// How long is looked at at once.
const MINUTE: u64 = 60 * SEC;
/// What a process may ask for without doing anything new, for each record that it has to do with.
const STANDING: u64 = 60;
/// And for each time that a task of its begins to want something.
const EACH: u64 = 14;

#[derive(Debug, Default)]
pub(crate) struct Requests {
    begun: u64,
    asked: u64,
    wants: u64,
    /// The most in any minute, in parts of a thousand of what is allowed.
    pub(crate) most: u64,
}

impl Requests {
    pub(crate) const fn wants(&mut self) {
        self.wants += 1;
    }

    /// A request left a process that has to do with this many records.
    pub(crate) fn asked(&mut self, now: u64, records: u64) -> Option<Violation> {
        if now >= self.begun + MINUTE {
            *self = Self { begun: now, most: self.most, ..Self::default() };
        }
        self.asked += 1;
        let bound = STANDING * records + EACH * self.wants;
        self.most = self.most.max(self.asked * 1000 / bound);
        let what = || {
            format!(
                "{} requests in a minute with {} beginnings: at most {bound}",
                self.asked, self.wants
            )
        };
        (self.asked > bound).then(|| Violation::new("C6", what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_without_a_pause_is_found() {
        let mut requests = Requests::default();
        assert!((0..1000).any(|n| requests.asked(n * 10_000, 3).is_some()));
    }

    #[test]
    fn renewing_is_within_the_bound() {
        let mut requests = Requests::default();
        assert!((0..1000).all(|n| requests.asked(n * SEC, 1).is_none()));
    }
}
