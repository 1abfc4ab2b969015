//! The watch of a set of records, which `runtime::watches` shares among its subscribers.

use futures::{StreamExt as _, future::BoxFuture};

use super::{
    store::{Cluster, event},
    watch::watch,
};
use crate::{
    runtime::watches::{Reporter, Source, Target},
    store::{Scope, WatchEvent},
};

impl Source for Cluster {
    /// All: a watch of a key is no connection, and etcd finds it by its key.
    fn singles(&self) -> usize {
        usize::MAX
    }

    fn follow(&self, target: Target, reporter: Reporter) -> BoxFuture<'static, ()> {
        let scope = match target {
            Target::Scope(scope) => scope,
            Target::Namespace(namespace) => Scope::Records(Some(namespace), None),
        };
        let mut reports = watch(self.client.clone(), self.keys(&scope));
        let prefix = self.prefix.clone();
        Box::pin(async move {
            while let Some(report) = reports.next().await {
                let wanted = match event(&prefix, &scope, report) {
                    Some(all @ WatchEvent::All(_)) => reporter.listed(None, all),
                    Some(WatchEvent::Blind(why)) => reporter.failed(why),
                    Some(change) => reporter.changed(change),
                    None => true,
                };
                if !wanted {
                    return;
                }
            }
        })
    }
}
