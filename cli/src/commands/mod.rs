//! The subcommands, a file each.

mod child;
pub(crate) mod demo;
mod doubt;
pub(crate) mod elect;
pub(crate) mod events;
pub(crate) mod install;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod manual;
mod prepare;
pub(crate) mod prune;
mod query;
pub(crate) mod release;
mod server_progress;
pub(crate) mod sessions;
