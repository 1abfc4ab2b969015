//! `leasehold demo`: scenes on a terminal, or candidates on a web page.

mod etcd;
mod relay;
mod scenes;
mod stage;

use leasehold::Memory;

use crate::{
    cli::args::DemoArgs,
    exec::signals::unless_signalled,
    exit::{Failure, Outcome, code},
    sidecar::page::AllowedHosts,
};

/// Plays the scenes, or serves the page until a signal.
pub(crate) async fn run(args: DemoArgs) -> Outcome {
    match args.serve {
        Some(address) => stage::run(address, AllowedHosts::new(args.allow_host)).await,
        None if args.etcd.is_selected() => etcd::run(&args.etcd).await,
        None => unless_signalled(async { played(scenes::play(&Memory::default()).await) }).await,
    }
}

fn played(scenes: scenes::Outcome) -> Outcome {
    let failure = |what| Failure::new(code::INTERNAL, format!("the demonstration: {what}"));
    scenes.map(|()| code::SUCCESS).map_err(failure)
}
