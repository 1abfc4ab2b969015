//! What the integration tests share.
#![allow(dead_code, unused_imports, reason = "every test target uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    reason = "waiting for processes of the host, a test reads its clock"
)]

pub(crate) mod controlplane;
pub(crate) mod proxy;
pub(crate) mod wire;

pub(crate) use controlplane::{ADMIN, Audited, ControlPlane, Rule, USERS, since};
pub(crate) use proxy::{Link, Proxy, Way};
