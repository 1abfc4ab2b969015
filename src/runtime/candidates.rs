//! Who of this handle stands where: each id once in each election.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    api::{error::Result, leader::Campaign, name::Name},
    store::Key,
    util::{mutex::lock, watched::Shown},
};

/// Where somebody stands, and who.
type Place = (Key, Name);
/// Asks a candidacy to end.
pub(crate) type Resign = oneshot::Sender<Result<()>>;

/// The candidacies of one handle.
#[derive(Debug, Default)]
pub(crate) struct Candidacies {
    places: Mutex<HashMap<Place, Sign>>,
    withdrawn: Notify,
}

/// How to tell whether a candidacy is about to end.
#[derive(Debug)]
struct Sign {
    campaign: Arc<Shown<Campaign>>,
    leader: mpsc::WeakUnboundedSender<Resign>,
}

impl Sign {
    /// Its `Leader` was resigned or has been dropped.
    fn is_leaving(&self) -> bool {
        self.campaign.look().leaving || self.leader.upgrade().is_none()
    }
}

impl Candidacies {
    /// Takes the place, unless somebody stands there already.
    pub(crate) fn register(
        self: &Arc<Self>,
        place: Place,
        campaign: Arc<Shown<Campaign>>,
        leader: mpsc::WeakUnboundedSender<Resign>,
    ) -> Option<Registration> {
        let mut places = lock(&self.places);
        if places.contains_key(&place) {
            return None;
        }
        places.insert(place.clone(), Sign { campaign, leader });
        Some(Registration { candidacies: Arc::clone(self), place })
    }

    /// Returns once every candidacy that is to end has ended.
    pub(crate) async fn settled(&self) {
        loop {
            let mut withdrawn = std::pin::pin!(self.withdrawn.notified());
            // Before looking, so that nothing is missed.
            withdrawn.as_mut().enable();
            if !lock(&self.places).values().any(Sign::is_leaving) {
                return;
            }
            withdrawn.await;
        }
    }
}

/// A candidacy of this handle: the only one of its id in its election, until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    candidacies: Arc<Candidacies>,
    place: Place,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.candidacies.places).remove(&self.place);
        self.candidacies.withdrawn.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_immediate;

    use super::*;
    use crate::{
        api::name::{LeaseName, Namespace},
        store::Kind,
    };

    fn place(election: &str) -> Place {
        let title = Name::parse("election name", election).unwrap();
        let namespace = Namespace::parse("default").unwrap();
        let lease = LeaseName::of("", &title);
        let id = Name::parse("candidate id", "me").unwrap();
        (Key { namespace, lease, kind: Kind::Election, title }, id)
    }

    #[tokio::test]
    async fn who_is_to_leave_is_waited_for_and_who_stands_is_not() {
        let candidacies = Arc::new(Candidacies::default());
        let stand = |election| {
            let (leader, resign) = mpsc::unbounded_channel();
            let campaign = Arc::<Shown<Campaign>>::default();
            let registration =
                candidacies.register(place(election), Arc::clone(&campaign), leader.downgrade());
            (leader, resign, campaign, registration.unwrap())
        };
        let stays = stand("stays");
        let (leader, _resign, _campaign, registration) = stand("dropped");
        let (_leader, _resigned, campaign, resigning) = stand("resigned");

        assert!(poll_immediate(candidacies.settled()).await.is_some(), "all three stand");
        drop(leader);
        assert!(poll_immediate(candidacies.settled()).await.is_none(), "one is dropped");
        campaign.look().leaving = true;
        drop(registration);
        assert!(poll_immediate(candidacies.settled()).await.is_none(), "one has resigned");
        let mut settled = Box::pin(candidacies.settled());
        assert!(poll_immediate(&mut settled).await.is_none());
        drop(resigning);
        assert!(poll_immediate(&mut settled).await.is_some(), "and is woken when it has left");
        drop(stays);
    }
}
