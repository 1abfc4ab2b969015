//! The format of the output.

use clap::ValueEnum;
use schemars::JsonSchema;

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line; see `leasehold schema`.
    Json,
}
