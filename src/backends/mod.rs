//! The stores that records can be kept in: each a `Store`, and the public handle over it.

#[cfg(feature = "etcd")]
pub(crate) mod etcd;
#[cfg(feature = "kubernetes")]
pub(crate) mod kubernetes;
pub(crate) mod memory;
mod plain_names;
