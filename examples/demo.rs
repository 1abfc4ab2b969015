//! `leasehold demo` by itself: it needs no Kubernetes client, so it builds in a moment.
//!
//! ```sh
//! cargo run --no-default-features --example demo
//! ```

#[path = "../src/bin/leasehold/demo/mod.rs"]
mod demo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> demo::Outcome {
    demo::play().await
}
