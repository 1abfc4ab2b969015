//! `leasehold schema`, `completions` and `man`: descriptions of the program, generated from its code.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use schemars::schema_for;
use serde_json::json;

use crate::{
    cli::args::Args,
    commands::{
        events::EventLine, prune::PrunedLine, release::SessionEnded, sessions::SessionLine,
    },
    exit::code,
    output::{
        lines::Held,
        rows::{Candidate, Record},
        status::CandidateStatus,
        stdout,
    },
    sidecar::{
        http::{Health, Leadership},
        page::PageState,
    },
};

/// Prints the schema of one line of `-o json`, for each subcommand.
pub(crate) fn schema() -> u8 {
    let schemas = json!({
        "lock": schema_for!(Held),
        "elect": schema_for!(CandidateStatus),
        "elect --serve": {
            "/": schema_for!(CandidateStatus),
            "/leading": schema_for!(Leadership),
            "/events": schema_for!(CandidateStatus),
            "/healthz": schema_for!(Health),
            "/readyz": schema_for!(Health),
            "/state": schema_for!(PageState),
        },
        "members": schema_for!(Candidate),
        "status": schema_for!(Record),
        "sessions": schema_for!(SessionLine),
        "release": schema_for!(Record),
        "release --session": schema_for!(SessionEnded<'static>),
        "prune": schema_for!(PrunedLine),
        "watch": schema_for!(EventLine),
    });
    stdout::write(&format!("{schemas:#}\n"));
    code::SUCCESS
}

/// Prints the completion script for `shell`.
pub(crate) fn completions(shell: clap_complete::Shell) -> u8 {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "leasehold", &mut text);
    stdout::write(&self::text(text));
    code::SUCCESS
}

/// Prints one page that includes the subcommands.
pub(crate) fn page() -> u8 {
    let mut command = Args::command();
    command.build();
    match rendered(&command) {
        Ok(text) => {
            stdout::write(&text);
            code::SUCCESS
        }
        Err(_) => code::INTERNAL,
    }
}

fn rendered(command: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    // The subcommands have no pages of their own: they follow in this page.
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
        page.extend(section.lines().filter(|line| !is_preamble(line)).map(demoted));
    }
    Ok(page)
}

fn text(roff: Vec<u8>) -> String {
    String::from_utf8(roff).unwrap_or_default()
}

/// Lines at the beginning of each rendered section, which a page needs once.
fn is_preamble(line: &str) -> bool {
    line.starts_with(".ie ") || line.starts_with(".el ")
}

/// A line of a subcommand: its sections become subsections.
fn demoted(line: &str) -> String {
    let line = line.strip_prefix(".SH ").map_or_else(|| line.into(), |head| format!(".SS {head}"));
    line + "\n"
}
