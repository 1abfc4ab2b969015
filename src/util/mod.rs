//! Small building blocks that know nothing of locks.

pub(crate) mod clock;
pub(crate) mod mutex;
pub(crate) mod random;
pub(crate) mod watched;
