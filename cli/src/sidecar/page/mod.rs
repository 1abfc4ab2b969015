//! The page: an election as people look at it, with a button that makes its leader resign.
//!
//! ```text
//!  what is observed ──► Screen: leader, members, tenures ──► /state ──► page.js
//!  /resign ──► Asks ──► whoever holds the guard, here or where the leader is
//! ```

mod feed;
mod history;
mod peer;
mod routes;
mod state;
mod view;

pub(crate) use self::{
    feed::feed,
    peer::Peer,
    routes::{Page, Reach, html, routes, wants_page},
    state::{PageMember, PageState},
    view::{ElectionView, Observation, ObservedLeader},
};
