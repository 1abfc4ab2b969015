//! `leasehold demo`: scenes on a terminal, or candidates on a web page.

mod scenes;
mod stage;

use crate::{
    cli::args::DemoArgs,
    exit::{Failure, Outcome, code},
    sidecar::page::AllowedHosts,
};

/// Plays the scenes, or serves the page until a signal.
pub(crate) async fn run(args: DemoArgs) -> Outcome {
    match args.serve {
        Some(address) => stage::run(address, AllowedHosts::new(args.allow_host)).await,
        None => scenes::play()
            .await
            .map(|()| code::SUCCESS)
            .map_err(|what| Failure::new(code::INTERNAL, format!("the demonstration: {what}"))),
    }
}
