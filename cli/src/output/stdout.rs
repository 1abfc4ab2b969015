//! Standard output, and whether it could be written.

use std::{
    io::{self, ErrorKind, Write as _},
    sync::OnceLock,
};

use anstream::AutoStream;

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
