//! What the test suites share. A failure is a panic with a message, as in a test.
//!
//! | module | |
//! |---|---|
//! | [`ControlPlane`] | a real etcd and kube-apiserver |
//! | [`EtcdCluster`] | etcd alone, of one node or more |
//! | [`ForwardProxy`] | a proxy for HTTP CONNECT and SOCKS5 |
//! | [`Proxy`] | a TCP proxy that delays, holds back and cuts connections |
//! | [`patch`] | PATCH, carried out as an API server does |
//! | [`wire`] | HTTP requests, parsed as an API server parses them |
//! | [`browser`] | a headless Chromium |
//! | [`helm`] | the program `helm` |
//! | [`processes`] | processes by their ids |
//! | [`clock`] | the clock that guards use |
//! | [`Rng`] | random numbers from a seed |
//! | [`overlap`] | the check that no two tenures overlap, and its [`Violation`] |

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::unwrap_used,
    reason = "only the tests of this workspace use it, and a test panics where it fails"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test that waits for real processes reads the clock"
)]

pub mod browser;
#[cfg(unix)]
pub mod clock;
#[cfg(unix)]
mod controlplane;
mod forward_proxy;
pub mod helm;
pub mod overlap;
pub mod patch;
pub mod processes;
mod proxy;
mod rng;
mod violation;
pub mod wire;

#[cfg(unix)]
pub use controlplane::{
    ADMIN, Audited, ControlPlane, EtcdCluster, EtcdSize, PINNED, Rule, ServerUse, Stored, USERS,
    authority, since,
};
pub use forward_proxy::{ForwardProxy, ProxyRequest};
pub use proxy::{Link, Proxy, Way};
pub use rng::Rng;
pub use violation::Violation;

/// The root of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
