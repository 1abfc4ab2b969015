//! The page: an election as people look at it, with a button that makes its leader resign.
//!
//! ```text
//!  what is observed ──► Screen: leader, members, tenures ──► /state ──► page.js
//!  /resign ──► Asks ──► whoever holds the guard, here or where the leader is
//! ```

mod asks;
mod feed;
mod history;
mod peer;
mod picture;
mod routes;
mod screen;

pub(crate) use self::{
    asks::{Ask, Asks},
    feed::feed,
    peer::Peer,
    picture::{Picture, Standing},
    routes::{Page, Reach, html, routes, wants_page},
    screen::{Leads, Screen, Sight},
};
