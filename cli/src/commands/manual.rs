//! What describes the program: schemas, completions and the manual page, all of the same source.

use std::io::{self, Write as _};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use schemars::schema_for;
use serde_json::json;

use crate::{
    cli::args::Args,
    commands::events::Told,
    output::{
        lines::Held,
        rows::{Candidate, Record},
        status::Stand,
    },
    sidecar::{
        http::{Health, Lead},
        page::Picture,
    },
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
        "watch": schema_for!(Told),
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
    let mut command = Args::command();
    command.build();
    match rendered(&command) {
        Ok(text) => written(text.as_bytes()),
        Err(_) => crate::exit::code::INTERNAL,
    }
}

fn rendered(command: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    // There are no pages of the parts: they follow.
    let mut page = text(page)
        .replace("leasehold\\-", "leasehold ")
        .replace("(1)\n", "\n")
        .replace(".SH EXTRA", ".SH NOTES");
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        let (man, mut section) = (Man::new(part.clone()), Vec::new());
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        if part.get_after_help().is_some() {
            man.render_extra_section(&mut section)?;
        }
        page.extend([".SH \"LEASEHOLD ", &part.get_name().to_uppercase(), "\"\n"]);
        let section = text(section).replace(".SH EXTRA", ".SH NOTES");
        page.extend(section.lines().filter(|line| !is_preamble(line)).map(beneath));
    }
    Ok(page)
}

fn text(roff: Vec<u8>) -> String {
    String::from_utf8(roff).unwrap_or_default()
}

/// What each piece begins with, and a page needs once.
fn is_preamble(line: &str) -> bool {
    line.starts_with(".ie ") || line.starts_with(".el ")
}

/// As a line of a part: its sections are subsections.
fn beneath(line: &str) -> String {
    let line = line.strip_prefix(".SH ").map_or_else(|| line.into(), |head| format!(".SS {head}"));
    line + "\n"
}

fn written(text: &[u8]) -> u8 {
    // A reader that has seen enough is no failure.
    let _ = io::stdout().write_all(text);
    0
}
