//! Locks with a queue: holders and waiters of one lock, in one record, in the order in which they came.
//!
//! | file | content |
//! |---|---|
//! | [`claim`] | one call of `lock`: session, nonce and mode; their text in the record |
//! | [`candidate`] | what a claim says of the candidate in an election that made it |
//! | [`line`] | holders and queue, and what may be done to them, as pure functions |
//! | [`record`] | the record of a lock, and what another program's write means |
//! | [`machine`] | all claims of one session for one lock: when to read, and what to write |
//!
//! Every write is computed by one function: remove what this session no longer wants, remove sessions that are known to
//! be over, add what it wants, and promote. So a record that another program left free with a queue heals with the next
//! write.

pub(crate) mod candidate;
pub(crate) mod claim;
pub(crate) mod line;
pub(crate) mod machine;
pub(crate) mod record;
#[cfg(test)]
mod tests;
