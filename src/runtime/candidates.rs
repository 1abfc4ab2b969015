//! The candidates of one handle: each id at most once in each election.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, oneshot};

use crate::{
    api::{error::Result, leader::LeaderState, name::Name},
    store::RecordKey,
    util::{mutex::lock, watched::Watched},
};

/// An election, and a candidate's id in it.
type CandidateKey = (RecordKey, Name);
/// Asks a candidate to resign, and gets the outcome.
pub(crate) type Resign = oneshot::Sender<Result<()>>;

/// The candidates of one handle.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The state of each candidate, which shows whether its `Leader` was resigned or dropped.
    registered: Mutex<HashMap<CandidateKey, Arc<Watched<LeaderState>>>>,
    withdrawn: Notify,
}

impl Candidates {
    /// Registers a candidate; `None` if that id is a candidate in this election already.
    pub(crate) fn register(
        self: &Arc<Self>,
        key: CandidateKey,
        state: Arc<Watched<LeaderState>>,
    ) -> Option<Registration> {
        let mut registered = lock(&self.registered);
        if registered.contains_key(&key) {
            return None;
        }
        registered.insert(key.clone(), state);
        Some(Registration { candidates: Arc::clone(self), key })
    }

    /// Completes once every candidate that was resigned or dropped has ended.
    pub(crate) async fn settled(&self) {
        loop {
            let mut withdrawn = std::pin::pin!(self.withdrawn.notified());
            // Subscribe before looking, so that no withdrawal is missed.
            withdrawn.as_mut().enable();
            if !lock(&self.registered).values().any(|state| state.borrow().leaving) {
                return;
            }
            withdrawn.await;
        }
    }
}

/// Keeps one id of one election taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    candidates: Arc<Candidates>,
    key: CandidateKey,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.candidates.registered).remove(&self.key);
        self.candidates.withdrawn.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_immediate;

    use super::*;
    use crate::{
        Leader,
        api::{
            leader::Candidacy,
            name::{Namespace, RecordName},
        },
        store::Kind,
    };

    /// A candidacy whose task has ended.
    struct Ended;

    impl Candidacy for Ended {
        fn resign(&self, _done: Resign) -> bool {
            false
        }

        fn observed(&self) -> Option<Box<dyn std::any::Any + Send + Sync>> {
            None
        }
    }

    fn key(election: &str) -> CandidateKey {
        let name = Name::parse("election name", election).unwrap();
        let namespace = Namespace::stored("default");
        let record = RecordName::stored(name.as_str());
        let id = Name::parse("candidate id", "me").unwrap();
        (RecordKey { namespace, record, kind: Kind::Election, name }, id)
    }

    #[tokio::test]
    async fn settled_waits_for_candidates_that_leave_and_for_no_others() {
        let candidates = Arc::new(Candidates::default());
        let register = |election| {
            let state = Arc::<Watched<LeaderState>>::default();
            let registration = candidates.register(key(election), Arc::clone(&state));
            let leader = Leader::new("me".into(), election.into(), Arc::clone(&state), Ended);
            (leader, state, registration.unwrap())
        };
        let stays = register("stays");
        let (leader, _state, registration) = register("dropped");
        let (_leader, state, resigning) = register("resigned");

        assert!(poll_immediate(candidates.settled()).await.is_some(), "all three take part");
        drop(leader);
        assert!(poll_immediate(candidates.settled()).await.is_none(), "one is dropped");
        state.borrow().leaving = true;
        drop(registration);
        assert!(poll_immediate(candidates.settled()).await.is_none(), "one has resigned");
        let mut settled = Box::pin(candidates.settled());
        assert!(poll_immediate(&mut settled).await.is_none());
        drop(resigning);
        assert!(poll_immediate(&mut settled).await.is_some(), "woken when that one has left");
        drop(stays);
    }
}
