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
    command.bin_name(PLUGIN.1).mut_subcommands(|part| {
        let examples = part
            .get_after_help()
            .map(|text| text.to_string().replace("  leasehold ", &format!("  {} ", PLUGIN.1)));
        let part = match part.get_name().to_owned().as_str() {
            name @ ("lock" | "elect") => part
                .override_usage(format!("{} {name} [OPTIONS] NAME [--] [CMD [ARG]...]", PLUGIN.1)),
            _ => part,
        };
        match examples {
            Some(examples) => part.after_help(examples),
            None => part,
        }
    })
}
