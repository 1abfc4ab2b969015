//! The API server or etcd: the connection to it, requests besides those of the library, and waits that end in time.

pub(crate) mod access;
pub(crate) mod connect;
pub(crate) mod crashed;
pub(crate) mod etcd;
pub(crate) mod pod;
pub(crate) mod probe;
pub(crate) mod requests;
pub(crate) mod target;
pub(crate) mod wait;
