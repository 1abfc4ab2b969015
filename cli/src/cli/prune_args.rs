//! The options of `leasehold prune`.

use std::time::Duration;

use clap::builder::BoolishValueParser;

use super::{duration::duration, help, report_args::ReportArgs, selector::selector};
use crate::cluster::target::Target;

/// Deletes the Leases of locks and elections that are free and that no process has used for a long time.
///
/// A held lock is never deleted, whatever the clocks say: a Lease is deleted only if it is free, and still exactly as
/// it was read.
#[derive(Debug, clap::Args)]
#[command(after_help = help::PRUNE)]
pub(crate) struct PruneArgs {
    /// Delete in all namespaces. Overrides -n. Not read from the environment.
    // A variable that was set for `status` must not delete the Leases of other namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Delete only Leases with these labels, for example team=shop.
    #[arg(short = 'l', long, env = "LEASEHOLD_SELECTOR", value_name = "SELECTOR", value_parser = selector)]
    pub(crate) selector: Option<String>,
    /// Delete only what has been unused for this long, for example 30d, 12h or 1h30m.
    #[arg(
        long,
        env = "LEASEHOLD_OLDER_THAN",
        value_name = "DURATION",
        allow_hyphen_values = true,
        value_parser = duration,
        default_value = "7d"
    )]
    pub(crate) older_than: Duration,
    /// Print what would be deleted, and delete nothing.
    #[arg(long, env = "LEASEHOLD_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub(crate) dry_run: bool,
    #[command(flatten, next_help_heading = help::CLUSTER)]
    pub(crate) target: Target,
    #[command(flatten, next_help_heading = help::OUTPUT)]
    pub(crate) report: ReportArgs,
}
