//! The observed state of an election, published to all open pages.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::sync::watch;

use super::{
    history::History,
    state::{PageLeader, PageMember, PageState},
};
use crate::clock;

/// The smallest change of the time left that counts as a renewal. Smaller ones are clock jitter.
const RENEWED: Duration = Duration::from_millis(100);

/// An observation of an election.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    pub(crate) leader: Option<ObservedLeader>,
    pub(crate) members: Vec<PageMember>,
}

/// The leader, as observed.
#[derive(Clone, Debug)]
pub(crate) struct ObservedLeader {
    pub(crate) id: String,
    pub(crate) token: Option<u64>,
    pub(crate) ttl: Duration,
    /// How long the lead lasts without a renewal, from the time of the observation.
    pub(crate) left: Duration,
}

/// The view of an election. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct ElectionView {
    model: Arc<Mutex<Model>>,
    /// False once the view is closed.
    open: watch::Sender<bool>,
}

#[derive(Debug)]
struct Model {
    election: String,
    namespace: String,
    id: String,
    /// A request to resign reaches the leader in any process.
    reaches_all: bool,
    observation: Observation,
    /// The time of `observation`.
    taken: Duration,
    history: History,
    error: Option<String>,
}

impl ElectionView {
    /// `reaches_all`: whether a request to resign reaches a leader in another process.
    pub(crate) fn new(election: &str, namespace: &str, id: &str, reaches_all: bool) -> Self {
        let model = Model {
            election: election.into(),
            namespace: namespace.into(),
            id: id.into(),
            reaches_all,
            observation: Observation::default(),
            taken: clock::now(),
            history: History::default(),
            error: None,
        };
        Self { model: Arc::new(Mutex::new(model)), open: watch::Sender::new(true) }
    }

    /// Publishes an observation, and the problem of the watch if it has one.
    pub(crate) fn show(&self, observation: Observation, error: Option<&str>) {
        let now = clock::now();
        let mut model = self.model();
        let news = model.is_news(&observation, error, now);
        let leader = observation.leader.as_ref().map(|leader| (leader.id.as_str(), leader.token));
        model.history.observe(now, leader);
        model.observation = observation;
        model.taken = now;
        model.error = error.map(Into::into);
        drop(model);
        if news {
            self.open.send_replace(true);
        }
    }

    /// Publishes that the election cannot be read, with the reason.
    pub(crate) fn fail(&self, error: String) {
        self.model().error = Some(error);
        self.open.send_replace(true);
    }

    /// Ends the streams of states.
    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    /// The present state, then each change, until the view is closed.
    pub(crate) fn states(&self) -> impl Stream<Item = PageState> + Send + 'static + use<> {
        let mut news = self.open.subscribe();
        news.mark_changed();
        stream::unfold((self.clone(), news), |(view, mut news)| async move {
            news.changed().await.ok()?;
            let open = *news.borrow_and_update();
            open.then(|| (view.state(), (view, news)))
        })
    }

    /// The present state.
    pub(crate) fn state(&self) -> PageState {
        self.model().state(clock::now())
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    /// Whether the observation differs by more than the passing of time.
    fn is_news(&self, observation: &Observation, error: Option<&str>, now: Duration) -> bool {
        let key = |observation: &Observation| {
            observation.leader.as_ref().map(|l| (l.id.clone(), l.token, l.ttl))
        };
        let left = |observation: &Observation| {
            observation.leader.as_ref().map_or(Duration::ZERO, |l| l.left)
        };
        let expected = left(&self.observation).saturating_sub(now.saturating_sub(self.taken));
        key(&self.observation) != key(observation)
            || self.observation.members != observation.members
            || self.error.as_deref() != error
            || expected.abs_diff(left(observation)) > RENEWED
    }

    fn state(&self, now: Duration) -> PageState {
        let passed = now.saturating_sub(self.taken);
        let leader = self.observation.leader.as_ref().map(|leader| {
            let (began, first) = self.history.present().unwrap_or((now, true));
            PageLeader {
                candidate_id: leader.id.clone(),
                token: leader.token,
                held_seconds: now.saturating_sub(began).as_secs_f64(),
                held_longer: first,
                left_seconds: leader.left.saturating_sub(passed).as_secs_f64(),
                ttl_seconds: leader.ttl.as_secs_f64(),
            }
        });
        let here = leader.as_ref().is_some_and(|leader| leader.candidate_id == self.id);
        PageState {
            election: self.election.clone(),
            namespace: self.namespace.clone(),
            candidate_id: self.id.clone(),
            can_resign: leader.is_some() && (here || self.reaches_all),
            leader,
            members: self.observation.members.clone(),
            tenures: self.history.at(now),
            error: self.error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn led(token: u64, left: Duration) -> Observation {
        let ttl = Duration::from_secs(15);
        let leader = ObservedLeader { id: "a".into(), token: Some(token), ttl, left };
        Observation { leader: Some(leader), members: Vec::new() }
    }

    #[test]
    fn changes_and_renewals_are_published_and_passing_time_is_not() {
        let view = ElectionView::new("e", "n", "a", false);
        let mut states = Box::pin(view.states());
        let mut shown = || states.next().now_or_never().flatten().is_some();
        assert!(shown(), "the present");

        view.show(led(7, Duration::from_secs(9)), None);
        assert!(shown(), "a leader");
        view.show(led(7, Duration::from_secs(9)), None);
        assert!(!shown(), "no change");
        view.show(led(7, Duration::from_secs(14)), None);
        assert!(shown(), "a renewal");
        view.show(led(8, Duration::from_secs(14)), None);
        assert!(shown(), "another tenure");
        view.show(led(8, Duration::from_secs(14)), Some("no watch"));
        assert!(shown(), "trouble");
        view.close();
        assert!(!shown(), "closed");
    }

    #[test]
    fn a_leader_can_resign_if_it_is_here_or_can_be_reached() {
        for (own, all, can) in
            [("a", false, true), ("b", false, false), ("b", true, true), ("a", true, true)]
        {
            let view = ElectionView::new("e", "n", own, all);
            assert!(!view.state().can_resign, "no leader");
            view.show(led(7, Duration::from_secs(9)), None);
            assert_eq!(view.state().can_resign, can, "{own} {all}");
        }
    }
}
