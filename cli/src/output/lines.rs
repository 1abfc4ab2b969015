//! What is printed on standard output.

use std::io::{self, Write as _};

use anstream::AutoStream;
use schemars::JsonSchema;
use serde::Serialize;

use super::format::Output;

/// A lock or election that this process holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) holder: String,
    /// The fencing token.
    pub(crate) token: u64,
    /// When it would end if it were not renewed, RFC 3339.
    pub(crate) expires_at: String,
}

/// Something that can be said to people and to programs.
pub(crate) trait Line: Serialize {
    /// For people; where it is coloured, that is left out where nobody would see it.
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

/// Prints one line; false if nobody reads any more.
pub(crate) fn print(line: &impl Line, output: Output) -> bool {
    match output {
        Output::Text => written(&line.text()),
        Output::Json => json(line),
    }
}

/// Prints an object on one line; false if nobody reads any more.
pub(crate) fn json(object: &impl Serialize) -> bool {
    written(&serde_json::to_string(object).unwrap_or_default())
}

fn written(text: &str) -> bool {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
}
