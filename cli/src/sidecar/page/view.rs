//! What is known of an election, shown to whoever looks.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::sync::watch;

use super::{
    history::History,
    state::{Leading, Picture, Standing},
};
use crate::clock;

/// By how much the time left must differ from what was shown: a renewal, and not the clock's own grain.
const RENEWED: Duration = Duration::from_millis(100);

/// What was observed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    pub(crate) leader: Option<Leads>,
    pub(crate) members: Vec<Standing>,
}

/// Who leads, as it was observed.
#[derive(Clone, Debug)]
pub(crate) struct Leads {
    pub(crate) id: String,
    pub(crate) token: Option<u64>,
    pub(crate) ttl: Duration,
    /// How long it lives unrenewed, from when it was observed.
    pub(crate) left: Duration,
}

/// An election that is looked at. Clones show the same.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
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
    sight: Sight,
    /// When `sight` was taken.
    taken: Duration,
    history: History,
    trouble: Option<String>,
}

impl Screen {
    /// `reaches_all`: whether a leader elsewhere can be asked to resign.
    pub(crate) fn new(election: &str, namespace: &str, id: &str, reaches_all: bool) -> Self {
        let model = Model {
            election: election.into(),
            namespace: namespace.into(),
            id: id.into(),
            reaches_all,
            sight: Sight::default(),
            taken: clock::now(),
            history: History::default(),
            trouble: None,
        };
        Self { model: Arc::new(Mutex::new(model)), open: watch::Sender::new(true) }
    }

    /// This is how it is now.
    pub(crate) fn show(&self, sight: Sight, trouble: Option<&str>) {
        let now = clock::now();
        let mut model = self.model();
        let news = model.is_news(&sight, trouble, now);
        let leader = sight.leader.as_ref().map(|leader| (leader.id.as_str(), leader.token));
        model.history.saw(now, leader);
        model.sight = sight;
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
    pub(crate) fn pictures(&self) -> impl Stream<Item = Picture> + Send + 'static + use<> {
        let mut news = self.open.subscribe();
        news.mark_changed();
        stream::unfold((self.clone(), news), |(screen, mut news)| async move {
            news.changed().await.ok()?;
            let open = *news.borrow_and_update();
            open.then(|| (screen.picture(), (screen, news)))
        })
    }

    pub(crate) fn picture(&self) -> Picture {
        self.model().picture(clock::now())
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    /// Whether this is more than that time has passed.
    fn is_news(&self, sight: &Sight, trouble: Option<&str>, now: Duration) -> bool {
        let key = |sight: &Sight| sight.leader.as_ref().map(|l| (l.id.clone(), l.token, l.ttl));
        let left = |sight: &Sight| sight.leader.as_ref().map_or(Duration::ZERO, |l| l.left);
        let expected = left(&self.sight).saturating_sub(now.saturating_sub(self.taken));
        key(&self.sight) != key(sight)
            || self.sight.members != sight.members
            || self.trouble.as_deref() != trouble
            || expected.abs_diff(left(sight)) > RENEWED
    }

    fn picture(&self, now: Duration) -> Picture {
        let passed = now.saturating_sub(self.taken);
        let leader = self.sight.leader.as_ref().map(|leader| {
            let (began, first) = self.history.present().unwrap_or((now, true));
            Leading {
                id: leader.id.clone(),
                token: leader.token,
                held_seconds: now.saturating_sub(began).as_secs_f64(),
                held_longer: first,
                left_seconds: leader.left.saturating_sub(passed).as_secs_f64(),
                ttl_seconds: leader.ttl.as_secs_f64(),
            }
        });
        let here = leader.as_ref().is_some_and(|leader| leader.id == self.id);
        Picture {
            election: self.election.clone(),
            namespace: self.namespace.clone(),
            id: self.id.clone(),
            can_resign: leader.is_some() && (here || self.reaches_all),
            leader,
            members: self.sight.members.clone(),
            tenures: self.history.at(now),
            trouble: self.trouble.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn led(token: u64, left: Duration) -> Sight {
        let ttl = Duration::from_secs(15);
        let leader = Leads { id: "a".into(), token: Some(token), ttl, left };
        Sight { leader: Some(leader), members: Vec::new() }
    }

    #[test]
    fn a_change_and_a_renewal_are_shown_and_that_time_passes_is_not() {
        let screen = Screen::new("e", "n", "a", false);
        let mut pictures = Box::pin(screen.pictures());
        let mut shown = || pictures.next().now_or_never().flatten().is_some();
        assert!(shown(), "the present");

        screen.show(led(7, Duration::from_secs(9)), None);
        assert!(shown(), "somebody leads");
        screen.show(led(7, Duration::from_secs(9)), None);
        assert!(!shown(), "no more than before");
        screen.show(led(7, Duration::from_secs(14)), None);
        assert!(shown(), "a renewal");
        screen.show(led(8, Duration::from_secs(14)), None);
        assert!(shown(), "another tenure");
        screen.show(led(8, Duration::from_secs(14)), Some("no watch"));
        assert!(shown(), "trouble");
        screen.close();
        assert!(!shown(), "there is no more");
    }

    #[test]
    fn whoever_leads_here_can_resign_and_who_leads_elsewhere_where_it_is_reached() {
        for (own, all, can) in
            [("a", false, true), ("b", false, false), ("b", true, true), ("a", true, true)]
        {
            let screen = Screen::new("e", "n", own, all);
            assert!(!screen.picture().can_resign, "nobody leads");
            screen.show(led(7, Duration::from_secs(9)), None);
            assert_eq!(screen.picture().can_resign, can, "{own} {all}");
        }
    }
}
