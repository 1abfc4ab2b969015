//! How the library works, and why: for readers of the code, and for readers who must judge whether it is safe.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("protocol.md")]
pub mod protocol {}

#[doc = include_str!("design.md")]
pub mod design {}

#[doc = include_str!("reliability.md")]
pub mod reliability {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

/// The code blocks of the README and of `docs/`: compiled and run as tests.
#[cfg(all(doctest, feature = "kubernetes"))]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/benchmarks.md")]
#[doc = include_str!("../../docs/chart.md")]
#[doc = include_str!("../../docs/cli.md")]
#[doc = include_str!("../../docs/development.md")]
#[doc = include_str!("../../docs/guarantees.md")]
#[doc = include_str!("../../docs/library.md")]
#[doc = include_str!("../../docs/sessions.md")]
#[doc = include_str!("../../docs/sidecar.md")]
mod pages {}

/// The code block of `docs/etcd.md`, with the feature that it needs.
#[cfg(all(doctest, feature = "etcd"))]
#[doc = include_str!("../../docs/etcd.md")]
mod etcd_page {}
