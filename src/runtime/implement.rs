//! Implements the contract for the public handles of all backends.

/// Implements the contract for a newtype with a field `handle`.
macro_rules! implement_sync {
    ($backend:ty) => {
        impl crate::Sync for $backend {
            fn init(&self) -> BoxFuture<'_, Result<()>> {
                Box::pin(self.handle.init())
            }

            fn options(&self) -> &Options {
                self.handle.options()
            }

            fn leader<'a>(
                &'a self,
                name: &'a str,
                options: LeaderOptions,
            ) -> BoxFuture<'a, Result<Leader>> {
                Box::pin(self.handle.leader(name, options))
            }

            fn list_members(
                &self,
                options: ListMembersOptions,
            ) -> BoxFuture<'_, Result<Vec<Member>>> {
                Box::pin(self.handle.list_members(options))
            }

            fn watch_elect(
                &self,
                options: WatchElectOptions,
            ) -> BoxFuture<'_, Result<ElectWatcher>> {
                Box::pin(self.handle.watch_elect(options))
            }

            fn lock<'a>(
                &'a self,
                name: &'a str,
                options: LockOptions,
            ) -> BoxFuture<'a, Result<Guard>> {
                Box::pin(self.handle.lock(name, options))
            }

            fn unlock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
                Box::pin(self.handle.unlock(name))
            }

            fn close(&self) -> BoxFuture<'_, Result<()>> {
                Box::pin(self.handle.close())
            }

            fn backend(&self) -> &'static str {
                self.handle.backend()
            }
        }

        impl fmt::Display for $backend {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let options = self.handle.options();
                let namespace = options.namespace.as_deref().unwrap_or_default();
                let identity = options.identity.as_deref().unwrap_or_default();
                write!(f, "{} ({namespace}, {identity})", self.handle.backend())
            }
        }
    };
}
pub(crate) use implement_sync;
