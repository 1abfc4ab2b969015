//! Standard output, and whether it could be written.

use std::{
    future::pending,
    io::{self, ErrorKind, Write as _},
    os::fd::AsFd as _,
    sync::OnceLock,
};

use anstream::AutoStream;
use tokio::{io::Interest, net::unix::pipe::Sender};

/// The first error that was more than a reader that has left.
static ERROR: OnceLock<io::Error> = OnceLock::new();

/// Writes all of the text. Returns false if nothing more can be written. Colours are removed where the output has none.
pub(crate) fn write(text: &str) -> bool {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    taken(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Takes note of the result of a write.
pub(crate) fn taken(result: io::Result<()>) -> bool {
    let Err(error) = result else { return true };
    // The reader has what it wanted, as in `leasehold status | head -1`.
    if error.kind() != ErrorKind::BrokenPipe {
        let _ = ERROR.set(error);
    }
    false
}

/// Why the output is not complete; `None` if it is, or if its reader has left.
pub(crate) fn failure() -> Option<&'static io::Error> {
    ERROR.get()
}

/// Waits until the reader has left: a command that prints changes may have none to print for hours. Waits without end
/// where the system does not report it, as for a file. Cancel safe.
pub(crate) async fn abandoned() {
    // A copy is enough. Its mode is that of the standard output, which stays blocking, because it is only watched.
    let copy = io::stdout().as_fd().try_clone_to_owned();
    if let Ok(pipe) = copy.and_then(Sender::from_owned_fd_unchecked)
        && pipe.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}
