//! A value that tasks look at, and wait for changes of.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::{Notify, futures::Notified};

use crate::util::mutex::lock;

/// What one task shows to others.
///
/// Tokio's `watch` would do, but for the order in which it wakes those who wait: it draws lots. Here they are woken as
/// they came, so that a simulation repeats.
#[derive(Debug, Default)]
pub(crate) struct Shown<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Shown<T> {
    /// What it is now. To be held for a few lines; what is changed here nobody is told of.
    pub(crate) fn look(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    /// Changes it, and wakes those who wait if `change` says that there is something to see.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T) -> bool) {
        if change(&mut self.look()) {
            self.changed.notify_waiters();
        }
    }

    /// The next change after this call, whenever it is awaited: ask for it first, then look.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Returns once it `is` so.
    pub(crate) async fn until(&self, is: impl Fn(&T) -> bool) {
        loop {
            let changed = self.changed();
            if is(&self.look()) {
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
    fn a_change_between_asking_and_looking_is_not_missed() {
        let shown = Shown::<u8>::default();
        let changed = shown.changed();
        shown.change(|value| {
            *value = 1;
            true
        });
        assert_eq!(changed.now_or_never(), Some(()));
        assert_eq!(shown.changed().now_or_never(), None, "seen");
        assert_eq!(*shown.look(), 1);
    }

    #[test]
    fn what_is_said_to_be_nothing_wakes_nobody() {
        let shown = Shown::<u8>::default();
        let changed = shown.changed();
        shown.change(|_| false);
        *shown.look() = 1;
        assert_eq!(changed.now_or_never(), None);
        assert_eq!(shown.until(|value| *value == 1).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let (shown, order) = (Arc::new(Shown::<bool>::default()), Arc::new(Mutex::new(Vec::new())));
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let (shown, order) = (Arc::clone(&shown), Arc::clone(&order));
                tokio::spawn(async move {
                    shown.until(|shown| *shown).await;
                    lock(&order).push(n);
                })
            })
            .collect();
        tokio::task::yield_now().await;

        shown.change(|value| !std::mem::replace(value, true));
        for task in waiting {
            task.await.unwrap();
        }

        assert_eq!(*lock(&order), (0..50).collect::<Vec<_>>());
    }
}
