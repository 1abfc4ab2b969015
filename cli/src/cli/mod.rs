//! The command line: its options, its help, and how it looks as a plugin of kubectl.

pub(crate) mod args;
#[cfg(test)]
mod chart;
mod combinations;
mod duration;
mod environment;
mod help;
mod key_value;
mod plugin;
pub(crate) mod prune_args;
mod report_args;
mod selector;
pub(crate) mod tenure_args;
