//! `leasehold demo` by itself: it needs no Kubernetes client, so it builds in a moment.
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
