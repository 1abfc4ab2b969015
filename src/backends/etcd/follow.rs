//! The watch of a set of records, which `runtime::watches` shares among its subscribers.

use std::future::pending;

use futures::{StreamExt as _, future::BoxFuture};

use super::{
    client::Client,
    keys::Prefix,
    store::{context, event, keys, range},
    watch::watch,
};
use crate::{
    runtime::watches::{Reporter, Source, Target},
    store::{Scope, WatchEvent},
};

/// What is needed for a watch.
#[derive(Clone)]
pub(super) struct Ranges {
    pub(super) client: Client,
    pub(super) prefix: Prefix,
}

impl Source for Ranges {
    /// All: a watch of a key is no connection, and etcd finds it by its key.
    fn singles(&self) -> usize {
        usize::MAX
    }

    fn follow(&self, target: Target, reporter: Reporter) -> BoxFuture<'static, ()> {
        let scope = match target {
            Target::Scope(scope) => scope,
            Target::Namespace(namespace) => Scope::Records(Some(namespace), None),
        };
        Box::pin(self.clone().report(scope, reporter))
    }
}

impl Ranges {
    /// Reports the records in `scope` until the reporter is not wanted any more.
    async fn report(self, scope: Scope, reporter: Reporter) {
        let Self { client, prefix } = self;
        let (namespace, keys) = match keys(&prefix, &scope) {
            Ok(keys) => keys,
            // Forever: the subscribers would begin a new watch at once.
            Err(error) => {
                if reporter.failed(error.to_string()) {
                    pending::<()>().await;
                }
                return;
            }
        };
        let context = context("watch", namespace, &keys);
        let mut reports = watch(client, range(&keys), context);
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
    }
}
