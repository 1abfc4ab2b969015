//! What stands for a process.

use leasehold::{LockOptions, Memory, Options};
use tokio::sync::oneshot;

use super::{TTL, timeline::Outcome};

pub(crate) fn lock_options() -> LockOptions {
    LockOptions::default().ttl(TTL)
}

/// A handle of its own for `who`, as another process would have it.
pub(crate) fn handle(world: &Memory, who: &str) -> leasehold::Result<Memory> {
    world.another(Options::default().identity(who))
}

/// Runs `main` as a process: on a thread and a runtime of its own. When `main` returns the process is dead at
/// once: whatever it has begun is not finished. What `main` returns was in its memory, and outlives it.
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
