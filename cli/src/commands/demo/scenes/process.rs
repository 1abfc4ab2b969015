//! The processes of the demonstration.

use leasehold::LockOptions;
use tokio::sync::oneshot;

use super::{TTL, timeline::Outcome};

pub(crate) fn lock_options() -> LockOptions {
    LockOptions::default().ttl(TTL)
}

/// Runs `main` as a process, on a separate thread and runtime. When `main` returns, the process is dead: its
/// tasks do not finish. The returned value was in the memory of the process, and is not dropped with it.
pub(crate) fn process<T, F>(main: F) -> oneshot::Receiver<Outcome<T>>
where
    T: Send + 'static,
    F: AsyncFnOnce() -> Outcome<T> + Send + 'static,
{
    let (dying, dead) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(main()));
        let _ = dying.send(outcome);
    });
    dead
}
