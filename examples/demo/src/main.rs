//! The scenes of `leasehold demo`, without a Kubernetes client.
//!
//! ```sh
//! cargo run -p leasehold-demo
//! ```

#[path = "../../../cli/src/commands/demo/scenes/mod.rs"]
mod scenes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> scenes::Outcome {
    scenes::play(&leasehold::Memory::default()).await
}
