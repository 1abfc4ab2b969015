//! The format of what is printed.

use clap::ValueEnum;
use schemars::JsonSchema;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line; see `leasehold schema`.
    Json,
}
