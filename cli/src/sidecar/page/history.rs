//! Tenures, one after the other.

use std::{collections::VecDeque, time::Duration};

use super::state::PageTenure;

/// How many are remembered.
const MOST: usize = 100;

/// The last tenures, by the clock of whoever observed them.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<Span>);

#[derive(Debug)]
struct Span {
    id: String,
    token: Option<u64>,
    began: Duration,
    ended: Option<Duration>,
}

impl History {
    /// This is who leads at `now`, and with which token.
    pub(crate) fn saw(&mut self, now: Duration, leader: Option<(&str, Option<u64>)>) {
        if let Some(last) = self.0.back_mut().filter(|last| last.ended.is_none()) {
            if leader == Some((last.id.as_str(), last.token)) {
                return;
            }
            last.ended = Some(now);
        }
        if let Some((id, token)) = leader {
            self.0.push_back(Span { id: id.into(), token, began: now, ended: None });
            if self.0.len() > MOST {
                self.0.pop_front();
            }
        }
    }

    /// When the present tenure began, and whether it is the first that was seen.
    pub(crate) fn present(&self) -> Option<(Duration, bool)> {
        let last = self.0.back().filter(|last| last.ended.is_none())?;
        Some((last.began, self.0.len() == 1))
    }

    pub(crate) fn at(&self, now: Duration) -> Vec<PageTenure> {
        let ago = |then: Duration| now.saturating_sub(then).as_secs_f64();
        let past = |tenure: &Span| PageTenure {
            id: tenure.id.clone(),
            token: tenure.token,
            began_seconds_ago: ago(tenure.began),
            ended_seconds_ago: tenure.ended.map(ago),
        };
        self.0.iter().map(past).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_tenure_ends_when_nobody_leads_or_another_token_does() {
        let mut history = History::default();

        history.saw(at(0), None);
        history.saw(at(1), Some(("a", Some(7))));
        history.saw(at(3), Some(("a", Some(7))));
        history.saw(at(4), None);
        history.saw(at(6), Some(("b", Some(9))));
        history.saw(at(9), Some(("b", Some(12))));

        let spans: Vec<_> = history
            .at(at(10))
            .into_iter()
            .map(|past| (past.id, past.token, past.began_seconds_ago, past.ended_seconds_ago))
            .collect();
        let b = || "b".to_owned();
        assert_eq!(
            spans,
            [
                ("a".to_owned(), Some(7), 9.0, Some(6.0)),
                (b(), Some(9), 4.0, Some(1.0)),
                (b(), Some(12), 1.0, None),
            ]
        );
        assert_eq!(history.present(), Some((at(9), false)));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut history = History::default();

        for token in 0..1000 {
            history.saw(at(token), Some(("a", Some(token))));
        }

        assert_eq!(history.at(at(1000)).len(), MOST);
    }
}
