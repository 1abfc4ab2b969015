//! The options of what the program prints.

use clap::{ArgAction, builder::BoolishValueParser};
use schemars::JsonSchema;

use crate::output::format::Format;

/// What the program prints, and in which format.
#[derive(Clone, Copy, Debug, clap::Args, JsonSchema)]
pub(crate) struct ReportArgs {
    /// The format of the output.
    #[arg(short, long, env = "LEASEHOLD_OUTPUT", value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Print no warnings and no errors: only the exit code reports a failure.
    #[schemars(skip)]
    #[arg(short, long, env = "LEASEHOLD_QUIET", value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
    /// Log to stderr; twice for more detail.
    #[schemars(range(max = 2))]
    #[arg(short, long, env = "LEASEHOLD_VERBOSE", action = ArgAction::Count)]
    pub(crate) verbose: u8,
}
