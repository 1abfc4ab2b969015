#![cfg_attr(feature = "kubernetes", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "kubernetes"),
    doc = "Distributed locks and leader election, embedded: see [`Memory`]."
)]

mod bugs;
mod campaign;
mod candidacies;
mod chance;
mod claim;
mod clock;
mod coordinator;
mod desk;
pub mod docs;
mod driver;
mod election;
mod engine;
mod error;
mod guard;
mod implement;
mod memory;
#[cfg(feature = "metrics")]
mod meter;
mod mutex;
mod name;
mod options;
mod roster;
mod shown;
mod sightings;
mod standing;
mod store;
mod sync;
mod telemetry;
mod tenure;
mod timing;
mod token;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "kubernetes")]
mod kubernetes;

#[cfg(feature = "simulation")]
#[doc(hidden)]
pub use bugs::{Bug, with as with_bug};
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub use chance::scene::{simulate, suspended};
pub use clock::Clock;
pub use election::{ElectEvent, ElectWatcher, Leader, Member, Role, Status};
pub use error::{Cause, Error, Loss, Result};
pub use guard::Guard;
#[cfg(all(fuzzing, feature = "kubernetes"))]
#[doc(hidden)]
pub use kubernetes::check_lease;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{Kubernetes, LeaseRecord, RecordKind, RecordOptions, RecordWatch};
pub use memory::{Fault, Memory};
pub use options::{LeaderOptions, ListMembersOptions, LockOptions, Options, WatchElectOptions};
pub use sync::{DynSync, Sync};
pub use tenure::{Tenure, TenureState};
pub use timing::Timing;
pub use token::Token;
