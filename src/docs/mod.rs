//! How it works, and why it is so: for those who read the code, and those who must trust it.

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
