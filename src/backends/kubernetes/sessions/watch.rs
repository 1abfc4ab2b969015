//! The watch of the records that one session holds.
//!
//! The task of the session reads the stream, so the watch has no task of its own. An event shows the whole object, and
//! a record that lost its label is reported as deleted, with the content before that and the version after it.

use std::time::Duration;

use futures::{StreamExt as _, stream, stream::BoxStream};
use kube::core::WatchEvent as KubeEvent;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    super::{
        BACKEND,
        http::{Http, LeaseEvent, Selection, expired, watch_error},
        page::Page,
        reflector::{REQUEST_TIMEOUT, pause},
    },
    codec,
};
use crate::{
    api::error::{Error, Result},
    store::sessions::{Cursor, HeldEvent, HeldLock},
    util::clock::Clock,
};

/// The length of one watch. The server ends the watch after this time, and the next one continues from its version.
const LENGTH: Duration = Duration::from_secs(120);
/// The maximum silence. The server sends a bookmark about once a minute, so after this time the connection is dead.
const SILENCE: Duration = Duration::from_secs(90);
/// A watch that ended earlier than this was cut, and the next one waits.
const BRIEF: Duration = Duration::from_secs(5);

type Events = std::pin::Pin<Box<dyn futures::Stream<Item = Result<LeaseEvent>> + Send>>;

struct Watch {
    http: Http,
    selection: Selection,
    /// The version from which to continue; `None` if a list is necessary.
    version: Option<String>,
    /// Where the next page of the list begins; `None` for the first one.
    cursor: Option<Cursor>,
    /// The last page, until the watch has begun.
    last_page: Option<Vec<HeldLock>>,
    events: Option<Events>,
    started: crate::util::clock::Moment,
    failures: u32,
    pause: Duration,
}

pub(super) fn watch(http: Http, selection: Selection) -> BoxStream<'static, HeldEvent> {
    let watch = Watch {
        http,
        selection,
        version: None,
        cursor: None,
        last_page: None,
        events: None,
        started: Clock::Runtime.now(),
        failures: 0,
        pause: Duration::ZERO,
    };
    stream::unfold(watch, |mut watch| async move {
        sleep(std::mem::take(&mut watch.pause)).await;
        let event = match watch.next().await {
            Ok(event) => event,
            Err(error) => watch.failed(error),
        };
        Some((event, watch))
    })
    .boxed()
}

impl Watch {
    async fn next(&mut self) -> Result<HeldEvent> {
        loop {
            let Some(version) = self.version.clone() else {
                let page =
                    self.http.page(&self.selection, self.cursor.as_ref(), codec::decode_held);
                match within(REQUEST_TIMEOUT, page).await? {
                    Page::Further(page, cursor) => {
                        self.cursor = Some(cursor);
                        return Ok(HeldEvent::Some(page));
                    }
                    Page::Last(page, version) => {
                        (self.last_page, self.version) = (Some(page), Some(version));
                    }
                    // The next list begins with the first page.
                    Page::Expired => return Err(expired(&self.selection)),
                }
                continue;
            };
            let Some(events) = &mut self.events else {
                self.started = Clock::Runtime.now();
                let start = self.http.watch(&self.selection, &version, LENGTH);
                self.events = Some(Box::pin(within(REQUEST_TIMEOUT, start).await?));
                // Reported only now, so that the first event of a session that may not watch is the refusal.
                if let Some(page) = self.last_page.take() {
                    let all = self.cursor.take().is_none();
                    return Ok(if all { HeldEvent::All(page) } else { HeldEvent::Some(page) });
                }
                continue;
            };
            let Some(event) = within(SILENCE, async { Ok(events.next().await) }).await? else {
                self.events = None;
                if Clock::Runtime.now() - self.started < BRIEF {
                    self.failures += 1;
                    sleep(pause(&Error::unavailable(BACKEND, Cut), self.failures)).await;
                }
                continue;
            };
            if let Some(event) = self.event(event?)? {
                return Ok(event);
            }
        }
    }

    fn event(&mut self, event: LeaseEvent) -> Result<Option<HeldEvent>> {
        let (object, deleted) = match event {
            KubeEvent::Added(object) | KubeEvent::Modified(object) => (object, false),
            KubeEvent::Deleted(object) => (object, true),
            KubeEvent::Bookmark(bookmark) => {
                self.version = Some(bookmark.metadata.resource_version);
                return Ok(None);
            }
            KubeEvent::Error(status) => {
                return Err(watch_error(kube::Error::Api(status), &self.selection));
            }
        };
        self.failures = 0;
        if let Some(version) = version(&object) {
            self.version = Some(version.into());
        }
        Ok(codec::decode_held(object).map(|held| {
            if deleted {
                HeldEvent::Gone(held.record, held.found.version.number)
            } else {
                HeldEvent::Set(held)
            }
        }))
    }

    fn failed(&mut self, error: Error) -> HeldEvent {
        self.pause = pause(&error, self.failures);
        self.failures += 1;
        (self.version, self.events, self.cursor, self.last_page) = (None, None, None, None);
        HeldEvent::Blind(error)
    }
}

fn version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty())
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
    let response = timeout(limit, request).await;
    response.unwrap_or_else(|late| Err(Error::unavailable(BACKEND, late)))
}

/// A proxy or a server cuts every watch.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended at once. Check the idle timeout of proxies in front of the API server")]
struct Cut;
