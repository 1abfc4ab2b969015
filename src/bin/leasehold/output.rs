//! What is printed on standard output.

use std::io::{self, Write as _};

use schemars::JsonSchema;
use serde::Serialize;

use crate::args::Output;

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
    /// For people.
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
    let text = match output {
        Output::Text => line.text(),
        Output::Json => serde_json::to_string(line).unwrap_or_default(),
    };
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
}
