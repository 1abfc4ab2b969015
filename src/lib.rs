#![cfg_attr(feature = "kubernetes", doc = include_str!("docs/crate.md"))]
#![cfg_attr(
    not(feature = "kubernetes"),
    doc = "Distributed locks and leader election, embedded: see [`Memory`]."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod backends;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod docs;
mod protocol;
mod runtime;
mod store;
mod util;

#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub use api::session::SessionInfo;
pub use api::{
    error::{Cause, Error, Loss, Result, WithCauses},
    guard::Guard,
    leader::{Leader, Observation, Status},
    member::{ElectEvent, ElectWatcher, Member, Role},
    options::{LeaderOptions, ListMembersOptions, LockOptions, Options, WatchElectOptions},
    record::{EndReason, NotBefore, RecordEvent, RecordEventKind, RecordKind},
    session::{LockMode, LockQueue, QueueEntry, SessionOptions},
    sync::{DynSync, Sync},
    sync_ext::SyncExt,
    tenure::{Tenure, TenureState},
    timing::{Durations, Timing},
    token::Token,
};
#[cfg(feature = "etcd")]
pub use backends::etcd::{Etcd, EtcdOptions};
#[cfg(all(fuzzing, feature = "kubernetes"))]
pub use backends::kubernetes::check_lease;
#[cfg(feature = "kubernetes")]
pub use backends::kubernetes::{ClusterOptions, Kubernetes};
pub use backends::memory::{Fault, Memory};
#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub use runtime::inspect::{
    Inspect, LeaseRecord, PruneOptions, PruneOutcome, Pruned, RecordOptions, RecordWatch,
};
pub use runtime::session::Session;
pub use util::clock::Clock;
#[cfg(leasehold_simulation)]
pub use util::environment::simulate;
