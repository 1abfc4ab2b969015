//! Lines on standard output, as text or as JSON.

use std::io::{self, Write as _};

use anstream::AutoStream;
use schemars::JsonSchema;
use serde::Serialize;

use super::format::Format;

/// A lock or election that this process holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) holder: String,
    /// The fencing token.
    pub(crate) token: u64,
    /// When the tenure ends if it is not renewed, RFC 3339.
    pub(crate) expires_at: String,
}

/// Something that can be printed as text or as JSON.
pub(crate) trait Line: Serialize {
    /// The text. Colours are removed where the output has none.
    fn text(&self) -> String;
}

impl Line for Held {
    fn text(&self) -> String {
        let Self { name, namespace, holder, token, .. } = self;
        format!(
            "holding `{name}` in namespace `{namespace}` as {holder}, token {token}, until a signal"
        )
    }
}

/// Prints one line. Returns false if the output is closed.
pub(crate) fn print(line: &impl Line, output: Format) -> bool {
    match output {
        Format::Text => write(&line.text()),
        Format::Json => json(line),
    }
}

/// Prints an object as JSON on one line. Returns false if the output is closed.
pub(crate) fn json(object: &impl Serialize) -> bool {
    write(&serde_json::to_string(object).unwrap_or_default())
}

fn write(text: &str) -> bool {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
}
