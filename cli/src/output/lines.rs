//! Lines on standard output, as text or as JSON.

use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{format::Format, stdout};
use crate::console::{printable, printable_json};

/// A lock or election that this process holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) holder: String,
    /// The fencing token.
    pub(crate) token: u64,
    /// The slot of a lock with --slots; null otherwise.
    pub(crate) slot: Option<u16>,
    /// When the tenure ends if it is not renewed, RFC 3339.
    pub(crate) expires_at: String,
}

/// Something that can be printed as text or as JSON.
pub(crate) trait Line: Serialize {
    /// The text. Colours are removed where the output has none.
    fn text(&self) -> String;

    /// The text without control characters but those of colours.
    fn printable(&self) -> String {
        printable(&self.text())
    }
}

impl Line for Held {
    fn text(&self) -> String {
        let Self { name, namespace, holder, token, slot, .. } = self;
        let slot = slot.map(|slot| format!(", slot {slot}")).unwrap_or_default();
        format!(
            "holding `{name}` in namespace `{namespace}` as {holder}, token {token}{slot}, until a signal"
        )
    }
}

/// Prints one line. Returns false if the output is closed.
pub(crate) fn print(line: &impl Line, output: Format) -> bool {
    match output {
        Format::Text => self::line(&line.printable()),
        Format::Json => json(line),
    }
}

/// One line that is being printed by another thread, because a reader that does not read must not delay a renewal.
#[derive(Debug, Default)]
pub(crate) struct Printing(Option<JoinHandle<bool>>);

impl Printing {
    /// Begins to print, after the line before.
    pub(crate) fn start(&mut self, line: impl Line + Send + 'static, output: Format) {
        self.0 = Some(spawn_blocking(move || print(&line, output)));
    }

    pub(crate) const fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Waits until the line is printed. Returns false if the output is closed. Cancel safe.
    pub(crate) async fn done(&mut self) -> bool {
        let Some(printing) = &mut self.0 else { return true };
        let open = printing.await.unwrap_or(false);
        self.0 = None;
        open
    }
}

/// Prints an object as JSON on one line. Returns false if the output is closed.
pub(crate) fn json(object: &impl Serialize) -> bool {
    line(&printable_json(&serde_json::to_string(object).unwrap_or_default()))
}

fn line(text: &str) -> bool {
    stdout::write(&format!("{text}\n"))
}
