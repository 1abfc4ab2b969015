//! What a caller names: the contract, its options, and what it hands out.

pub(crate) mod error;
pub(crate) mod guard;
pub(crate) mod leader;
pub(crate) mod member;
pub(crate) mod metadata;
pub(crate) mod name;
pub(crate) mod options;
pub(crate) mod record;
pub(crate) mod session;
pub(crate) mod sync;
pub(crate) mod sync_ext;
pub(crate) mod tenure;
pub(crate) mod timing;
pub(crate) mod token;
