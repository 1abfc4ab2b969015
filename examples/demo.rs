//! The scenes of `leasehold demo`, without a Kubernetes client, so that they build in seconds.
//!
//! ```sh
//! cargo run -p leasehold --no-default-features --example demo
//! ```

#[path = "../cli/src/commands/demo/scenes/mod.rs"]
mod demo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> demo::Outcome {
    demo::play().await
}
