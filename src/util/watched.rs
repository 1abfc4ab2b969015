//! A value that one task publishes and others wait for.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::{Notify, futures::Notified};

use super::mutex::lock;

/// A published value. Like `tokio::sync::watch`, but with a fixed order of wake-ups.
///
/// `tokio::sync::watch` wakes waiters in random order. This wakes them in the order in which they began to wait,
/// because a simulation must repeat.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    /// The present value. Hold the guard for a few lines only. A change through the guard wakes no waiter.
    pub(crate) fn borrow(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    /// Changes the value, and wakes all waiters if `modify` returns true.
    pub(crate) fn modify(&self, modify: impl FnOnce(&mut T) -> bool) {
        if modify(&mut self.borrow()) {
            self.changed.notify_waiters();
        }
    }

    /// Completes at the next change after this call. Call it first, then look at the value, then await it: then no
    /// change is missed.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until the value fulfils `condition`.
    pub(crate) async fn wait_for(&self, condition: impl Fn(&T) -> bool) {
        loop {
            let changed = self.changed();
            if condition(&self.borrow()) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_change_between_subscribing_and_reading_is_not_missed() {
        let watched = Watched::<u8>::default();
        let changed = watched.changed();
        watched.modify(|value| {
            *value = 1;
            true
        });
        assert_eq!(changed.now_or_never(), Some(()));
        assert_eq!(watched.changed().now_or_never(), None, "seen already");
        assert_eq!(*watched.borrow(), 1);
    }

    #[test]
    fn a_change_that_reports_nothing_new_wakes_no_waiter() {
        let watched = Watched::<u8>::default();
        let changed = watched.changed();
        watched.modify(|_| false);
        *watched.borrow() = 1;
        assert_eq!(changed.now_or_never(), None);
        assert_eq!(watched.wait_for(|value| *value == 1).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn waiters_are_woken_in_the_order_in_which_they_came() {
        let (watched, order) =
            (Arc::new(Watched::<bool>::default()), Arc::new(Mutex::new(Vec::new())));
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let (watched, order) = (Arc::clone(&watched), Arc::clone(&order));
                tokio::spawn(async move {
                    watched.wait_for(|watched| *watched).await;
                    lock(&order).push(n);
                })
            })
            .collect();
        tokio::task::yield_now().await;

        watched.modify(|value| !std::mem::replace(value, true));
        for task in waiting {
            task.await.unwrap();
        }

        assert_eq!(*lock(&order), (0..50).collect::<Vec<_>>());
    }
}
