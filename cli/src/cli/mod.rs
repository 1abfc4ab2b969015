//! The command line: its options, its help, and how it looks as a plugin of kubectl.

pub(crate) mod args;
#[cfg(test)]
mod chart;
mod help;
mod plugin;
