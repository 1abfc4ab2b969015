//! A watch of one handle, which is silent while its handle has a fault.

use futures::stream::{self, BoxStream};
use tokio::sync::{broadcast, watch};

use super::Fault;

/// What a watch selects from the changes of a store.
pub(super) trait Selection: Send + 'static {
    type Change: Clone + Send + 'static;
    type Event: Send + 'static;

    /// The whole state, as one event.
    fn all(&self) -> Self::Event;

    /// The event of a change; `None` if it is not selected.
    fn event(&self, change: Self::Change) -> Option<Self::Event>;
}

struct Watch<S: Selection> {
    selection: S,
    changes: broadcast::Receiver<S::Change>,
    current_fault: watch::Receiver<Option<Fault>>,
    /// The next event is the whole state, because the watch is new or missed events.
    send_all: bool,
}

/// The events of `selection`, first the whole state. The watch is silent as long as `current_fault` is set.
pub(super) fn events<S: Selection>(
    selection: S,
    changes: broadcast::Receiver<S::Change>,
    current_fault: watch::Receiver<Option<Fault>>,
) -> BoxStream<'static, S::Event> {
    let watch = Watch { selection, changes, current_fault, send_all: true };
    Box::pin(stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }))
}

impl<S: Selection> Watch<S> {
    async fn next(&mut self) -> S::Event {
        loop {
            if self.current_fault.borrow_and_update().is_some() {
                self.send_all = true;
                if self.current_fault.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            if std::mem::take(&mut self.send_all) {
                self.changes = self.changes.resubscribe();
                return self.selection.all();
            }
            match self.changes.recv().await {
                Ok(change) => {
                    let silent = self.current_fault.borrow().is_some();
                    if let Some(event) = self.selection.event(change).filter(|_| !silent) {
                        return event;
                    }
                }
                Err(_) => self.send_all = true,
            }
        }
    }
}
