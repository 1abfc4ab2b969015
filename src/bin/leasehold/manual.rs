//! What describes the program: schemas, completions and the manual page, all of the same source.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use schemars::schema_for;
use serde_json::json;

use crate::{
    args::Args,
    news::Report,
    output::{Held, Stand},
    page::Picture,
    rows::{Candidate, Record},
    serve::{Health, Lead},
};

/// By subcommand, what one line of `-o json` is.
pub(crate) fn schema() -> u8 {
    let schemas = json!({
        "lock": schema_for!(Held),
        "elect": schema_for!(Stand),
        "elect --serve": {
            "/": schema_for!(Stand),
            "/leading": schema_for!(Lead),
            "/events": schema_for!(Stand),
            "/healthz": schema_for!(Health),
            "/state": schema_for!(Picture),
        },
        "members": schema_for!(Candidate),
        "status": schema_for!(Record),
        "release": schema_for!(Record),
        "watch": schema_for!(Report),
    });
    written(format!("{schemas:#}\n").as_bytes())
}

pub(crate) fn completions(shell: clap_complete::Shell) -> u8 {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "leasehold", &mut text);
    written(&text)
}

/// One page, with the subcommands in it.
pub(crate) fn page() -> u8 {
    let mut text = Vec::new();
    let mut command = Args::command();
    command.build();
    let mut rendered = clap_mangen::Man::new(command.clone()).render(&mut text);
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        rendered = rendered.and_then(|()| {
            writeln!(text, ".SH \"LEASEHOLD {}\"", part.get_name().to_uppercase())?;
            let man = clap_mangen::Man::new(part.clone());
            man.render_description_section(&mut text)?;
            man.render_options_section(&mut text)?;
            man.render_extra_section(&mut text)
        });
    }
    if rendered.is_err() { crate::failure::code::INTERNAL } else { written(&text) }
}

fn written(text: &[u8]) -> u8 {
    // A reader that has seen enough is no failure.
    let _ = io::stdout().write_all(text);
    0
}
