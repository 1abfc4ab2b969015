//! The program as a plugin of `kubectl`.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use clap::Command;

/// The file name of the plugin, and the command that starts it.
const PLUGIN: (&str, &str) = ("kubectl-leasehold", "kubectl leasehold");

/// The command line, with a usage and examples that fit the name `program` by which it was started.
pub(crate) fn named(command: Command, program: Option<&OsString>) -> Command {
    let file = program.and_then(|program| Path::new(program).file_name());
    if file != Some(OsStr::new(PLUGIN.0)) {
        return command;
    }
    with_kubectl_examples(command.bin_name(PLUGIN.1)).mut_subcommands(|part| {
        let part = with_kubectl_examples(part);
        match part.get_name().to_owned().as_str() {
            name @ ("lock" | "elect") => part
                .override_usage(format!("{} {name} [OPTIONS] NAME [--] [CMD [ARG]...]", PLUGIN.1)),
            _ => part,
        }
    })
}

/// Rewrites the examples for kubectl.
fn with_kubectl_examples(command: Command) -> Command {
    let text = command.get_after_help().map(ToString::to_string);
    match text {
        Some(text) => command.after_help(text.replace("  leasehold ", &format!("  {} ", PLUGIN.1))),
        None => command,
    }
}
