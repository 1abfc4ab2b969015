//! How a candidacy stands, as it changes.

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use leasehold::Leader;
use std::{pin::Pin, sync::Arc};

use crate::output::Stand;

/// A stream of how it stands: each change once, however many parts of it change at once, beginning with the present.
pub(crate) struct Stands {
    leader: Arc<Leader>,
    namespace: String,
    news: Pin<Box<dyn Stream<Item = ()> + Send>>,
    last: Option<Stand>,
}

impl Stands {
    pub(crate) fn of(leader: &Arc<Leader>, namespace: &str) -> Self {
        let news = stream::select(leader.status().map(|_| ()), leader.observe().map(|_| ()));
        Self {
            leader: Arc::clone(leader),
            namespace: namespace.into(),
            news: Box::pin(news),
            last: None,
        }
    }

    /// The next; nothing after it has resigned.
    pub(crate) async fn next(&mut self) -> Option<Stand> {
        loop {
            self.news.next().await?;
            // The rest of what has changed with it.
            while let Some(Some(())) = self.news.next().now_or_never() {}
            let stand = Stand::now(&self.leader, &self.namespace);
            if self.last.as_ref() != Some(&stand) {
                self.last = Some(stand.clone());
                return Some(stand);
            }
        }
    }
}
