//! Who of this handle stands where: each id once in each election.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{election::Campaign, error::Result, mutex::lock, name::Name, store::Key};

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
    campaign: watch::Receiver<Campaign>,
    leader: mpsc::WeakUnboundedSender<Resign>,
}

impl Sign {
    /// Its `Leader` was resigned or has been dropped.
    fn is_leaving(&self) -> bool {
        self.campaign.borrow().leaving || self.leader.upgrade().is_none()
    }
}

impl Candidacies {
    /// Takes the place, unless somebody stands there already.
    pub(crate) fn register(
        self: &Arc<Self>,
        place: Place,
        campaign: watch::Receiver<Campaign>,
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
