//! The last tenures of an election.

use std::{collections::VecDeque, time::Duration};

use super::state::PageTenure;

/// How many tenures are kept.
const MOST: usize = 100;

/// The last tenures, by the clock of the observer.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<Span>);

/// A tenure, as observed.
#[derive(Debug)]
struct Span {
    id: String,
    token: Option<u64>,
    began: Duration,
    ended: Option<Duration>,
}

impl History {
    /// Takes note of the leader at `now`, and of its token.
    pub(crate) fn observe(&mut self, now: Duration, leader: Option<(&str, Option<u64>)>) {
        if let Some(last) = self.0.back_mut().filter(|last| last.ended.is_none()) {
            // A token that becomes known is no other tenure.
            let same = |(id, token): &(&str, Option<u64>)| {
                *id == last.id && (last.token.is_none() || last.token == *token)
            };
            if let Some((_, token)) = leader.filter(same) {
                last.token = token;
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

    /// When the present tenure began, and whether it is the first one observed.
    pub(crate) fn present(&self) -> Option<(Duration, bool)> {
        let last = self.0.back().filter(|last| last.ended.is_none())?;
        Some((last.began, self.0.len() == 1))
    }

    /// The tenures as the page shows them at `now`.
    pub(crate) fn at(&self, now: Duration) -> Vec<PageTenure> {
        let ago = |then: Duration| now.saturating_sub(then).as_secs_f64();
        let past = |tenure: &Span| PageTenure {
            candidate_id: tenure.id.clone(),
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
    fn a_tenure_ends_without_a_leader_or_with_another_token() {
        let mut history = History::default();

        history.observe(at(0), None);
        history.observe(at(1), Some(("a", Some(7))));
        history.observe(at(3), Some(("a", Some(7))));
        history.observe(at(4), None);
        history.observe(at(6), Some(("b", Some(9))));
        history.observe(at(9), Some(("b", Some(12))));

        let spans: Vec<_> = history
            .at(at(10))
            .into_iter()
            .map(|past| {
                (past.candidate_id, past.token, past.began_seconds_ago, past.ended_seconds_ago)
            })
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
    fn a_token_that_becomes_known_begins_no_tenure() {
        let mut history = History::default();

        history.observe(at(1), Some(("a", None)));
        history.observe(at(2), Some(("a", None)));
        history.observe(at(6), Some(("a", Some(7))));
        history.observe(at(8), Some(("a", None)));

        let tokens: Vec<_> = history.at(at(9)).into_iter().map(|past| past.token).collect();
        assert_eq!(tokens, [Some(7), None], "the next claim of the same candidate is a tenure");
        assert_eq!(history.present(), Some((at(8), false)));
    }

    #[test]
    fn old_tenures_are_dropped() {
        let mut history = History::default();

        for token in 0..1000 {
            history.observe(at(token), Some(("a", Some(token))));
        }

        assert_eq!(history.at(at(1000)).len(), MOST);
    }
}
