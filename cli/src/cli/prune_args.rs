//! The options of `leasehold prune`.

use std::time::Duration;

use clap::builder::BoolishValueParser;

use super::{
    args::{ReportArgs, duration},
    help,
};
use crate::cluster::target::Target;

/// Deletes the Leases of locks and elections that are free and that no process has used for a long time.
///
/// A held lock is never deleted, whatever the clocks say: a Lease is deleted only if it is free, and still exactly as
/// it was read.
#[derive(Debug, clap::Args)]
#[command(after_help = help::PRUNE)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Delete in all namespaces. Overrides -n. Not read from the environment.
    // A variable that was set for `status` must not delete the Leases of other namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Delete only Leases with these labels, for example team=shop.
    #[arg(short = 'l', long, env = "LEASEHOLD_SELECTOR", value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Delete only what has been unused for this long, for example 30d, 12h or 1h30m.
    #[arg(long, env = "LEASEHOLD_OLDER_THAN", value_name = "DURATION", value_parser = age, default_value = "7d")]
    pub(crate) older_than: Duration,
    /// Print what would be deleted, and delete nothing.
    #[arg(long, env = "LEASEHOLD_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Parses a duration that may be written in days.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 86_400;
    match text.strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days)) => days
            .checked_mul(DAY)
            .map(Duration::from_secs)
            .ok_or_else(|| "that is more than time can be counted".into()),
        _ => duration(text).map_err(|_| "write it like 7d, 12h, 1h30m or 90s".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_written_in_days_or_as_every_other_duration() {
        for (text, secs) in [("7d", 604_800), ("0d", 0), ("0", 0), ("90", 90), ("1h30m", 5400)] {
            assert_eq!(age(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in ["", "d", "-1d", "1.5d", "soon", &format!("{}d", u64::MAX)] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
