//! What is printed: lines, tables and warnings, as text or as JSON.

pub(crate) mod format;
pub(crate) mod lines;
mod queue;
pub(crate) mod rows;
pub(crate) mod status;
pub(crate) mod stdout;
pub(crate) mod table;
pub(crate) mod warn_once;
