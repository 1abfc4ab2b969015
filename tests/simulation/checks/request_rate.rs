//! C6: the requests of one process stay under a bound, whatever happens; and it leaves no watch and no task behind.

use super::Violation;
use crate::scenario::SEC;

/// How long is looked at at once.
const MINUTE: u64 = 60 * SEC;
/// What a process may ask for without doing anything new, for each record that it has to do with: cut off for the whole
/// minute it reads about every 0.9 s, and lists now and then to watch again.
const STANDING: u64 = 66;
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

/// A request, where none may be sent any more from `rest` on: all users have gone, and what they left has had its
/// time to live.
pub(crate) fn late(now: u64, rest: Option<u64>) -> Option<Violation> {
    let rest = rest.filter(|&rest| now > rest)?;
    Some(Violation::new("C6", format!("a request at {now} us, at rest since {rest} us")))
}

/// What a process has left at rest: the client's own task if there is a handle still, and no task of a watch or of
/// a contender.
pub(crate) fn left(host: usize, tasks: usize, handle: bool) -> Option<Violation> {
    let own = usize::from(handle);
    let what = || format!("host {host} has {tasks} tasks at rest, and its client only {own}");
    (tasks > own).then(|| Violation::new("C6", what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_at_rest_is_found() {
        assert_eq!(late(10, None), None, "there are users");
        assert_eq!(late(10, Some(10)), None);
        assert!(late(11, Some(10)).is_some());
    }

    #[test]
    fn a_task_left_is_found() {
        assert_eq!(left(0, 1, true), None);
        assert!(left(0, 2, true).is_some(), "a watch, or a contender");
        assert!(left(0, 1, false).is_some(), "the client, of a handle that has gone");
    }

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
