//! The API server: the connection to it, requests besides those of the library, and waits that end in time.

pub(crate) mod connect;
pub(crate) mod pod;
pub(crate) mod requests;
pub(crate) mod target;
pub(crate) mod wait;
