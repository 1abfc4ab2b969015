//! Lines on stderr. A thread writes them, because a reader that does not read must not delay a renewal.

use std::{
    collections::VecDeque,
    fmt::Display,
    io::{self, Write as _},
    sync::{
        Condvar, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How many bytes wait for a slow reader. Lines beyond are dropped, and the number of dropped lines is written later.
const SPACE: usize = 1 << 20;
/// How long the end of the program waits for a slow reader.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Lines {
    waiting: VecDeque<String>,
    bytes: usize,
    dropped: u64,
    writing: bool,
}

struct Console {
    lines: Mutex<Lines>,
    changed: Condvar,
    /// Whether the thread runs.
    threaded: bool,
}

/// Whether there was a line: without one, no thread is started.
static USED: AtomicBool = AtomicBool::new(false);

static CONSOLE: LazyLock<Console> = LazyLock::new(|| Console {
    lines: Mutex::default(),
    changed: Condvar::new(),
    threaded: thread::Builder::new().name("stderr".into()).spawn(|| CONSOLE.write_all()).is_ok(),
});

/// Prints `leasehold: ` and this line, without control characters.
pub(crate) fn report(line: impl Display) {
    CONSOLE.push(printable(&format!("leasehold: {line}")));
}

/// Waits until all lines are written, unless the reader is slow.
pub(crate) fn flush() {
    if !USED.load(Ordering::Relaxed) {
        return;
    }
    let lines = CONSOLE.lock();
    let busy = |lines: &mut Lines| lines.writing || !lines.is_empty();
    let _ = CONSOLE.changed.wait_timeout_while(lines, PATIENCE, busy);
}

/// `text` without the characters that a terminal could obey, such as escape sequences and changes of the direction of
/// writing. Each is replaced by its number.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |c| format!("\\u{{{:x}}}", u32::from(c)))
}

/// The same for JSON text, where such characters occur in strings only.
pub(crate) fn printable_json(text: &str) -> String {
    escaped(text, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.push_str(&escape(c));
            }
            _ if c.is_control() => safe.push_str(&escape(c)),
            _ => safe.push(c),
        }
    }
    safe
}

impl Lines {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0
    }

    fn push(&mut self, line: String) {
        if self.bytes + line.len() > SPACE {
            self.dropped += 1;
        } else {
            self.bytes += line.len();
            self.waiting.push_back(line);
        }
    }

    fn next(&mut self) -> Option<String> {
        if let Some(line) = self.waiting.pop_front() {
            self.bytes -= line.len();
            return Some(line);
        }
        let dropped = std::mem::take(&mut self.dropped);
        (dropped > 0).then(|| {
            format!(
                "leasehold: {dropped} lines were dropped, because the output was not read in time"
            )
        })
    }
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        USED.store(true, Ordering::Relaxed);
        if !self.threaded {
            let _ = writeln!(io::stderr(), "{line}");
            return;
        }
        self.lock().push(line);
        self.changed.notify_all();
    }

    /// The work of the thread.
    fn write_all(&self) {
        loop {
            let lines = self.lock();
            let lines = self.changed.wait_while(lines, |lines| lines.is_empty());
            let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
            let Some(mut line) = lines.next() else { continue };
            lines.writing = true;
            drop(lines);
            line.push('\n');
            // An error means that the reader has gone.
            let _ = io::stderr().write_all(line.as_bytes());
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }
}

/// The log's output. Each write is one event.
#[derive(Debug)]
pub(crate) struct Log;

impl io::Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        CONSOLE.push(printable(String::from_utf8_lossy(event).trim_end()));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_space_are_dropped_and_counted() {
        let mut lines = Lines::default();
        for _ in 0..SPACE / 1000 + 3 {
            lines.push("x".repeat(1000));
        }
        let written: Vec<_> = std::iter::from_fn(|| lines.next()).collect();

        assert_eq!(written.len(), SPACE / 1000 + 1);
        assert!(
            written.last().is_some_and(|last| last.contains("3 lines were dropped")),
            "{written:?}"
        );
        lines.push("y".into());
        assert_eq!(lines.next().as_deref(), Some("y"));
        assert!(lines.is_empty());
    }

    #[test]
    fn control_characters_are_replaced_by_their_numbers() {
        assert_eq!(
            printable("a\x1b[2Jb\u{9b}c\nd\u{202e}é"),
            "a\\u{1b}[2Jb\\u{9b}c\\u{a}d\\u{202e}é"
        );
        assert_eq!(printable_json("\"\u{9b}\u{7f}\""), r#""\u009b\u007f""#);
    }
}
