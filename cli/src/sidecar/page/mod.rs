//! The web page of an election, with a button that makes the leader resign.
//!
//! ```text
//!  observations ──► ElectionView: leader, members, tenures ──► /state ──► page.js
//!  /resign ──► ResignRequests ──► the task that holds the guard, here or in the leader's process
//! ```

mod feed;
mod history;
mod hosts;
mod peer;
mod routes;
mod state;
mod view;

pub(crate) use self::{
    feed::feed,
    hosts::{AllowedHosts, HostName},
    peer::Peer,
    routes::{Page, Reach, routes, wants_page},
    state::{PageMember, PageState},
    view::{ElectionView, Observation, ObservedLeader},
};
