//! The program as a plugin of `kubectl`.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use clap::Command;

/// What its file is called then, and how that is typed.
const PLUGIN: (&str, &str) = ("kubectl-leasehold", "kubectl leasehold");

/// The command line, with usage and examples as whoever called it by the name `program` would type them.
pub(crate) fn called(command: Command, program: Option<&OsString>) -> Command {
    let file = program.and_then(|program| Path::new(program).file_name());
    if file != Some(OsStr::new(PLUGIN.0)) {
        return command;
    }
    retyped(command.bin_name(PLUGIN.1)).mut_subcommands(|part| {
        let part = retyped(part);
        match part.get_name().to_owned().as_str() {
            name @ ("lock" | "elect") => part
                .override_usage(format!("{} {name} [OPTIONS] NAME [--] [CMD [ARG]...]", PLUGIN.1)),
            _ => part,
        }
    })
}

/// With its examples as they are typed then.
fn retyped(command: Command) -> Command {
    let text = command.get_after_help().map(ToString::to_string);
    match text {
        Some(text) => command.after_help(text.replace("  leasehold ", &format!("  {} ", PLUGIN.1))),
        None => command,
    }
}
