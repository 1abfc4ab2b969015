//! Sessions on the backend that the command line selects.

use leasehold::{Options, Session, SessionOptions};

use crate::support::Backend;

/// One more session, on a handle of its own. [`Backend::handle`] must have succeeded before.
pub(crate) async fn open(backend: &Backend) -> leasehold::Result<Session> {
    let options = SessionOptions::default();
    match backend {
        Backend::Memory(memory) => memory.another(Options::default())?.session(options).await,
        #[cfg(feature = "kubernetes")]
        Backend::Kubernetes(handle) => {
            leasehold::Kubernetes::connect(handle.clone()).await?.session(options).await
        }
        #[cfg(feature = "etcd")]
        Backend::Etcd(handle) => {
            leasehold::Etcd::connect(handle.clone()).await?.session(options).await
        }
        #[cfg(not(all(feature = "etcd", feature = "kubernetes")))]
        _ => unreachable!("without its feature, a backend has no handle"),
    }
}
