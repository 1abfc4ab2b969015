//! Warnings about a problem that lasts: printed once, and once more when the problem is over.

use std::time::Duration;

use crate::{clock, console};

/// A problem with a server that is over by then is not worth a warning.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(3);
/// The shortest time between two lines about one object, even if the cause changes.
const REST: Duration = Duration::from_secs(60);

/// Problems with one object, such as a lock.
#[derive(Debug)]
pub(crate) struct WarnOnce {
    object: String,
    /// A problem that is over by then is not printed.
    tolerance: Duration,
    quiet: bool,
    since: Option<Duration>,
    /// The last line, and when it was printed.
    last: Option<(String, Duration)>,
}

impl WarnOnce {
    pub(crate) fn new(object: &str, tolerance: Duration, quiet: bool) -> Self {
        Self { object: object.into(), tolerance, quiet, since: None, last: None }
    }

    /// For a problem that counts from now on, although it is not known yet.
    pub(crate) fn since_now(object: &str, tolerance: Duration, quiet: bool) -> Self {
        Self { since: Some(clock::now()), ..Self::new(object, tolerance, quiet) }
    }

    /// Takes note of the present problem, as the line to print; `None` if there is none.
    pub(crate) fn update(&mut self, problem: Option<String>) {
        if let Some(line) = self.line_at(problem, clock::now()).filter(|_| !self.quiet) {
            console::report(format_args!("{line}"));
        }
    }

    fn line_at(&mut self, problem: Option<String>, now: Duration) -> Option<String> {
        let Some(line) = problem else {
            self.since = None;
            return self.last.take().map(|_| format!("{}: the problem is over", self.object));
        };
        let since = *self.since.get_or_insert(now);
        let due = self.last.as_ref().map_or(since + self.tolerance, |(_, at)| *at + REST);
        let is_new = self.last.as_ref().is_none_or(|(last, _)| *last != line);
        (is_new && now >= due).then(|| {
            self.last = Some((line.clone(), now));
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(warnings: &mut WarnOnce, secs: u64, problem: Option<&str>) -> Option<String> {
        warnings.line_at(problem.map(ToOwned::to_owned), Duration::from_secs(secs))
    }

    #[test]
    fn a_lasting_problem_and_its_end_are_printed_once_each() {
        let mut warnings = WarnOnce::new("lock `a`", TOLERANCE, false);
        assert_eq!(at(&mut warnings, 0, Some("no answer")), None);
        assert_eq!(at(&mut warnings, 3, Some("no answer")).as_deref(), Some("no answer"));
        assert_eq!(at(&mut warnings, 500, Some("no answer")), None);
        assert!(at(&mut warnings, 501, None).is_some());
        assert_eq!(at(&mut warnings, 502, None), None);
    }

    #[test]
    fn a_short_problem_is_not_printed() {
        let mut warnings = WarnOnce::new("lock `a`", TOLERANCE, false);
        assert_eq!(at(&mut warnings, 0, Some("no answer")), None);
        assert_eq!(at(&mut warnings, 2, None), None);
        assert_eq!(at(&mut warnings, 4, Some("no answer")), None);
    }

    #[test]
    fn alternating_causes_are_printed_once_a_minute() {
        let mut warnings = WarnOnce::new("lock `a`", TOLERANCE, false);
        assert_eq!(at(&mut warnings, 0, Some("reset")), None);
        let last = (3..123).filter(|secs| {
            let cause = if secs % 2 == 0 { "reset" } else { "no answer" };
            at(&mut warnings, *secs, Some(cause)).is_some()
        });
        assert_eq!(last.count(), 2);
    }
}
