//! The contract on a session.

use std::fmt;

use futures::future::{BoxFuture, join_all};
use tokio::sync::oneshot;

use super::{Session, closed, command::Command};
use crate::{
    Options, Result,
    api::{
        error::Error,
        guard::Guard,
        leader::Leader,
        member::{ElectWatcher, Member},
        options::{LeaderOptions, ListMembersOptions, LockOptions, WatchElectOptions},
    },
};

impl crate::Sync for Session {
    fn init(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.handle.init())
    }

    fn options(&self) -> &Options {
        self.0.handle.options()
    }

    fn leader<'a>(
        &'a self,
        name: &'a str,
        options: LeaderOptions,
    ) -> BoxFuture<'a, Result<Leader>> {
        Box::pin(self.stand(name, options))
    }

    fn list_members(&self, options: ListMembersOptions) -> BoxFuture<'_, Result<Vec<Member>>> {
        Box::pin(self.0.handle.list_members(options))
    }

    fn watch_elect(&self, options: WatchElectOptions) -> BoxFuture<'_, Result<ElectWatcher>> {
        Box::pin(self.0.handle.watch_elect(options))
    }

    fn lock<'a>(&'a self, name: &'a str, options: LockOptions) -> BoxFuture<'a, Result<Guard>> {
        Box::pin(self.acquire(name, options))
    }

    fn unlock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let record = self.key(name)?.record;
            let not_held = || Error::NotHeld { name: name.to_owned() };
            let (done, end) = oneshot::channel();
            self.send(Command::Unlock { record, done }).map_err(|()| not_held())?;
            end.await.unwrap_or_else(|_| Err(not_held()))
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let (done, leaving) = oneshot::channel();
            if self.send(Command::Settle(done)).is_ok() {
                let leaving = leaving.await.map_err(|_| closed(&self.id()))?;
                // A lock whose session is over meanwhile is gone with it.
                let outcomes =
                    join_all(leaving).await.into_iter().map(|gone| gone.unwrap_or(Ok(())));
                outcomes.collect::<Result<()>>()?;
            }
            self.0.handle.close().await
        })
    }

    fn backend(&self) -> &'static str {
        self.0.handle.backend()
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.0.handle.backend(), self.0.sender.namespace, self.id())
    }
}
