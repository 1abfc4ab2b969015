//! What goes wrong for longer than a moment while something goes on: said once it is noticed, and once it is over.

use std::time::Duration;

use crate::clock;

/// What is over by then was no trouble with a server.
pub(crate) const MOMENT: Duration = Duration::from_secs(3);
/// At least so long between two lines about one trouble, however its cause changes.
const REST: Duration = Duration::from_secs(60);

/// The trouble with one object.
#[derive(Debug)]
pub(crate) struct Trouble {
    object: String,
    /// What is over by then is not worth a line.
    moment: Duration,
    quiet: bool,
    since: Option<Duration>,
    /// What was said last, and when.
    said: Option<(String, Duration)>,
}

impl Trouble {
    pub(crate) fn new(object: &str, moment: Duration, quiet: bool) -> Self {
        Self { object: object.into(), moment, quiet, since: None, said: None }
    }

    /// Looks at what is wrong now, if anything is: the whole line.
    pub(crate) fn look(&mut self, wrong: Option<String>) {
        if let Some(line) = self.news(wrong, clock::now()).filter(|_| !self.quiet) {
            eprintln!("leasehold: {line}");
        }
    }

    fn news(&mut self, wrong: Option<String>, now: Duration) -> Option<String> {
        let Some(line) = wrong else {
            self.since = None;
            return self.said.take().map(|_| format!("{}: the trouble is over", self.object));
        };
        let since = *self.since.get_or_insert(now);
        let due = self.said.as_ref().map_or(since + self.moment, |(_, at)| *at + REST);
        let is_new = self.said.as_ref().is_none_or(|(said, _)| *said != line);
        (is_new && now >= due).then(|| {
            self.said = Some((line.clone(), now));
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(trouble: &mut Trouble, secs: u64, wrong: Option<&str>) -> Option<String> {
        trouble.news(wrong.map(ToOwned::to_owned), Duration::from_secs(secs))
    }

    #[test]
    fn what_lasts_is_said_once_and_its_end_once() {
        let mut trouble = Trouble::new("lock `a`", MOMENT, false);
        assert_eq!(at(&mut trouble, 0, Some("no answer")), None);
        assert_eq!(at(&mut trouble, 3, Some("no answer")).as_deref(), Some("no answer"));
        assert_eq!(at(&mut trouble, 500, Some("no answer")), None);
        assert!(at(&mut trouble, 501, None).is_some());
        assert_eq!(at(&mut trouble, 502, None), None);
    }

    #[test]
    fn a_moment_is_no_trouble() {
        let mut trouble = Trouble::new("lock `a`", MOMENT, false);
        assert_eq!(at(&mut trouble, 0, Some("no answer")), None);
        assert_eq!(at(&mut trouble, 2, None), None);
        assert_eq!(at(&mut trouble, 4, Some("no answer")), None);
    }

    #[test]
    fn causes_that_alternate_are_told_once_a_minute() {
        let mut trouble = Trouble::new("lock `a`", MOMENT, false);
        assert_eq!(at(&mut trouble, 0, Some("reset")), None);
        let said = (3..123).filter(|secs| {
            let cause = if secs % 2 == 0 { "reset" } else { "no answer" };
            at(&mut trouble, *secs, Some(cause)).is_some()
        });
        assert_eq!(said.count(), 2);
    }
}
