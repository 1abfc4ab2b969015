//! What is known of an election, shown to whoever looks.

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

/// By how much the time left must differ from what was shown: a renewal, and not the clock's own grain.
const RENEWED: Duration = Duration::from_millis(100);

/// What was observed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    pub(crate) leader: Option<ObservedLeader>,
    pub(crate) members: Vec<PageMember>,
}

/// Who leads, as it was observed.
#[derive(Clone, Debug)]
pub(crate) struct ObservedLeader {
    pub(crate) id: String,
    pub(crate) token: Option<u64>,
    pub(crate) ttl: Duration,
    /// How long it lives unrenewed, from when it was observed.
    pub(crate) left: Duration,
}

/// An election that is looked at. Clones show the same.
#[derive(Clone, Debug)]
pub(crate) struct ElectionView {
    model: Arc<Mutex<Model>>,
    /// False once there is nothing more to come.
    open: watch::Sender<bool>,
}

#[derive(Debug)]
struct Model {
    election: String,
    namespace: String,
    id: String,
    /// The leader can be asked wherever it is.
    reaches_all: bool,
    observation: Observation,
    /// When `sight` was taken.
    taken: Duration,
    history: History,
    trouble: Option<String>,
}

impl ElectionView {
    /// `reaches_all`: whether a leader elsewhere can be asked to resign.
    pub(crate) fn new(election: &str, namespace: &str, id: &str, reaches_all: bool) -> Self {
        let model = Model {
            election: election.into(),
            namespace: namespace.into(),
            id: id.into(),
            reaches_all,
            observation: Observation::default(),
            taken: clock::now(),
            history: History::default(),
            trouble: None,
        };
        Self { model: Arc::new(Mutex::new(model)), open: watch::Sender::new(true) }
    }

    /// This is how it is now.
    pub(crate) fn show(&self, observation: Observation, trouble: Option<&str>) {
        let now = clock::now();
        let mut model = self.model();
        let news = model.is_news(&observation, trouble, now);
        let leader = observation.leader.as_ref().map(|leader| (leader.id.as_str(), leader.token));
        model.history.saw(now, leader);
        model.observation = observation;
        model.taken = now;
        model.trouble = trouble.map(Into::into);
        drop(model);
        if news {
            self.open.send_replace(true);
        }
    }

    /// Nothing is known any more, for this reason.
    pub(crate) fn blind(&self, trouble: String) {
        self.model().trouble = Some(trouble);
        self.open.send_replace(true);
    }

    /// There is nothing more to come.
    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    /// How it is now, and with each change, until it is closed.
    pub(crate) fn states(&self) -> impl Stream<Item = PageState> + Send + 'static + use<> {
        let mut news = self.open.subscribe();
        news.mark_changed();
        stream::unfold((self.clone(), news), |(view, mut news)| async move {
            news.changed().await.ok()?;
            let open = *news.borrow_and_update();
            open.then(|| (view.state(), (view, news)))
        })
    }

    pub(crate) fn state(&self) -> PageState {
        self.model().state(clock::now())
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    /// Whether this is more than that time has passed.
    fn is_news(&self, observation: &Observation, trouble: Option<&str>, now: Duration) -> bool {
        let key = |observation: &Observation| {
            observation.leader.as_ref().map(|l| (l.id.clone(), l.token, l.ttl))
        };
        let left = |observation: &Observation| {
            observation.leader.as_ref().map_or(Duration::ZERO, |l| l.left)
        };
        let expected = left(&self.observation).saturating_sub(now.saturating_sub(self.taken));
        key(&self.observation) != key(observation)
            || self.observation.members != observation.members
            || self.trouble.as_deref() != trouble
            || expected.abs_diff(left(observation)) > RENEWED
    }

    fn state(&self, now: Duration) -> PageState {
        let passed = now.saturating_sub(self.taken);
        let leader = self.observation.leader.as_ref().map(|leader| {
            let (began, first) = self.history.present().unwrap_or((now, true));
            PageLeader {
                id: leader.id.clone(),
                token: leader.token,
                held_seconds: now.saturating_sub(began).as_secs_f64(),
                held_longer: first,
                left_seconds: leader.left.saturating_sub(passed).as_secs_f64(),
                ttl_seconds: leader.ttl.as_secs_f64(),
            }
        });
        let here = leader.as_ref().is_some_and(|leader| leader.id == self.id);
        PageState {
            election: self.election.clone(),
            namespace: self.namespace.clone(),
            id: self.id.clone(),
            can_resign: leader.is_some() && (here || self.reaches_all),
            leader,
            members: self.observation.members.clone(),
            tenures: self.history.at(now),
            trouble: self.trouble.clone(),
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
    fn a_change_and_a_renewal_are_shown_and_that_time_passes_is_not() {
        let view = ElectionView::new("e", "n", "a", false);
        let mut states = Box::pin(view.states());
        let mut shown = || states.next().now_or_never().flatten().is_some();
        assert!(shown(), "the present");

        view.show(led(7, Duration::from_secs(9)), None);
        assert!(shown(), "somebody leads");
        view.show(led(7, Duration::from_secs(9)), None);
        assert!(!shown(), "no more than before");
        view.show(led(7, Duration::from_secs(14)), None);
        assert!(shown(), "a renewal");
        view.show(led(8, Duration::from_secs(14)), None);
        assert!(shown(), "another tenure");
        view.show(led(8, Duration::from_secs(14)), Some("no watch"));
        assert!(shown(), "trouble");
        view.close();
        assert!(!shown(), "there is no more");
    }

    #[test]
    fn whoever_leads_here_can_resign_and_who_leads_elsewhere_where_it_is_reached() {
        for (own, all, can) in
            [("a", false, true), ("b", false, false), ("b", true, true), ("a", true, true)]
        {
            let view = ElectionView::new("e", "n", own, all);
            assert!(!view.state().can_resign, "nobody leads");
            view.show(led(7, Duration::from_secs(9)), None);
            assert_eq!(view.state().can_resign, can, "{own} {all}");
        }
    }
}
