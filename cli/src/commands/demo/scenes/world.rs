//! Where the scenes are played: one store for all processes, and a network for each of them.

use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use leasehold::{DynSync, Fault, Memory, Options, Session, SessionOptions};

use super::timeline::Outcome;

/// A store that processes share.
pub(crate) trait World: Send + Sync {
    /// Where it is, as the first line says it.
    fn place(&self) -> String;

    /// A separate handle for `actor`, as in another process.
    fn actor<'a>(&'a self, actor: &'a str) -> BoxFuture<'a, Outcome<Actor>>;
}

/// A process: its handle, and its network.
pub(crate) struct Actor {
    pub(crate) sync: Arc<DynSync>,
    pub(crate) sessions: Box<dyn Sessions>,
    pub(crate) network: Box<dyn Network>,
}

/// Opens sessions of one process.
pub(crate) trait Sessions: Send + Sync {
    /// The heartbeat runs in the runtime that awaits this.
    fn open(&self, options: SessionOptions) -> BoxFuture<'_, leasehold::Result<Session>>;
}

/// The network between one process and the store.
pub(crate) trait Network: Send + Sync {
    /// From now on no request arrives, and no answer.
    fn cut(&self);
}

impl World for Memory {
    fn place(&self) -> String {
        "on the embedded backend".into()
    }

    fn actor<'a>(&'a self, actor: &'a str) -> BoxFuture<'a, Outcome<Actor>> {
        let handle = self.another(Options::default().identity(actor));
        let actor = handle.map(|handle| Actor {
            sync: Arc::new(handle.clone()),
            sessions: Box::new(handle.clone()),
            network: Box::new(handle),
        });
        Box::pin(ready(actor.map_err(Into::into)))
    }
}

impl Sessions for Memory {
    fn open(&self, options: SessionOptions) -> BoxFuture<'_, leasehold::Result<Session>> {
        Box::pin(self.session(options))
    }
}

impl Network for Memory {
    fn cut(&self) {
        self.disturb(Some(Fault::LoseRequest));
    }
}
