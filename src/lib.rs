#![doc = include_str!("../README.md")]

mod campaign;
mod chance;
mod clock;
mod coordinator;
mod desk;
pub mod docs;
mod driver;
mod election;
mod engine;
mod error;
mod guard;
mod memory;
mod name;
mod options;
mod roster;
mod store;
mod sync;
mod timing;
mod token;

#[cfg(feature = "kubernetes")]
mod kubernetes;

#[doc(hidden)]
pub use chance::simulate;
pub use clock::Clock;
pub use election::{ElectEvent, ElectWatcher, Leader, Member, Role, Status};
pub use error::{Cause, Error, Loss, Result};
pub use guard::{Guard, Tenure, TenureState};
#[cfg(feature = "kubernetes")]
pub use kubernetes::Kubernetes;
pub use memory::{Fault, Memory};
pub use options::{LeaderOptions, ListMembersOptions, LockOptions, Options, WatchElectOptions};
pub use sync::{DynSync, Sync};
pub use timing::Timing;
pub use token::Token;
