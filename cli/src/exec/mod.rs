//! CMD as a process: its lookup, its process group, the guardian that kills it in time, signals and the terminal.

mod adopted;
pub(crate) mod guardian;
mod job;
pub(crate) mod launch;
pub(crate) mod lookup;
pub(crate) mod nesting;
pub(crate) mod process_table;
pub(crate) mod reexec;
pub(crate) mod resign_request;
pub(crate) mod signals;
pub(crate) mod supervise;
mod terminal;
