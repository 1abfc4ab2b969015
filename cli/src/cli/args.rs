//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::BoolishValueParser, error::ErrorKind, parser::ValueSource,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{help, plugin};
use crate::{
    cluster::target::Target,
    output::format::Output,
    sidecar::{http::Address, options::SidecarArgs},
};

/// Locks and leader election on Kubernetes Leases.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, about, after_help = help::AFTER, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Parses the command line, whose words come before those of the environment.
    ///
    /// # Errors
    ///
    /// What to print, which may be the help that was asked for.
    pub(crate) fn read(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = plugin::called(Self::command(), words.first());
        let matches = command.try_get_matches_from_mut(words)?;
        let mut args = Self::from_arg_matches(&matches)?;
        if let (Command::Lock(lock), Some((_, given))) = (&mut args.command, matches.subcommand()) {
            let said = |id| given.value_source(id) == Some(ValueSource::CommandLine);
            match (said("try_once"), said("wait")) {
                (true, true) => {
                    let line = "--try does not wait: leave it out, or leave out --wait";
                    let lock = command.find_subcommand_mut("lock");
                    let place = lock.expect("it was parsed");
                    return Err(place.error(ErrorKind::ArgumentConflict, line));
                }
                (false, true) => lock.try_once = false,
                _ => {}
            }
        }
        Ok(args)
    }

    pub(crate) const fn quiet(&self) -> bool {
        self.command.say().quiet
    }

    pub(crate) const fn verbose(&self) -> u8 {
        self.command.say().verbose
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Lock(LockArgs),
    Elect(ElectArgs),
    /// Lists the candidates of elections, leaders included.
    #[command(
        after_help = help::MEMBERS,
        mut_arg("name", |name| name.help("Only the candidates of this election. Default: of all"))
    )]
    Members(FollowArgs),
    /// Lists locks and elections: who holds them, with which token, since when.
    #[command(after_help = help::STATUS)]
    Status(FollowArgs),
    /// Prints who acquires, leads and loses what, and which candidates come and go, beginning with the present state.
    #[command(after_help = help::WATCH)]
    Watch(LookArgs),
    Release(ReleaseArgs),
    Install(InstallArgs),
    Demo(DemoArgs),
    /// Prints the JSON Schemas of all that `-o json` prints.
    Schema,
    /// Prints the completions for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    #[command(after_help = help::MAN)]
    Man,
}

impl Command {
    const fn say(&self) -> Say {
        match self {
            Self::Lock(args) => args.say,
            Self::Elect(args) => args.say,
            Self::Members(args) | Self::Status(args) => args.look.say,
            Self::Watch(args) => args.say,
            Self::Release(args) => args.say,
            Self::Install(_)
            | Self::Demo(_)
            | Self::Schema
            | Self::Completions { .. }
            | Self::Man => Say { output: Output::Text, quiet: false, verbose: 0 },
        }
    }
}

/// Runs a command while holding a lock; without a command, holds it until a signal.
#[derive(Debug, clap::Args)]
#[command(
    after_help = help::LOCK,
    override_usage = "leasehold lock [OPTIONS] NAME [--] [CMD [ARG]...]"
)]
pub(crate) struct LockArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) tenure: TenureArgs,
    /// Wait at most this long for the lock, for example 90s, 5m or 1h30m. Default: for ever.
    #[arg(long, env = "LEASEHOLD_WAIT", value_name = "DURATION", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
    /// Do not wait: leave at once if somebody else holds it.
    #[arg(long = "try", env = "LEASEHOLD_TRY", value_parser = BoolishValueParser::new())]
    pub(crate) try_once: bool,
    /// The exit code if somebody else holds it, or the wait ran out.
    #[arg(long, env = "LEASEHOLD_BUSY_CODE", value_name = "CODE", default_value_t = crate::exit::code::BUSY)]
    pub(crate) busy_code: u8,
    #[command(flatten)]
    pub(crate) say: Say,
    /// The lock's name, and the command with its arguments.
    #[arg(required = true, trailing_var_arg = true, num_args = 1.., value_name = "NAME [CMD [ARG]...]")]
    words: Vec<OsString>,
}

/// Runs a command for as long as this process leads an election, again with each time it is elected.
///
/// When the lead is lost the command is stopped, before anybody else leads. When the command ends by
/// itself, the candidate resigns. Without a command, prints who leads and how this candidate stands.
#[derive(Debug, clap::Args)]
#[command(
    after_help = help::ELECT,
    override_usage = "leasehold elect [OPTIONS] NAME [--] [CMD [ARG]...]"
)]
pub(crate) struct ElectArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) tenure: TenureArgs,
    /// End, with 79, when the lead is lost, instead of standing again.
    #[arg(long, env = "LEASEHOLD_ONCE", value_parser = BoolishValueParser::new())]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) sidecar: SidecarArgs,
    #[command(flatten)]
    pub(crate) say: Say,
    /// The election's name, and the command with its arguments.
    #[arg(required = true, trailing_var_arg = true, num_args = 1.., value_name = "NAME [CMD [ARG]...]")]
    words: Vec<OsString>,
}

/// What to look at.
#[derive(Debug, clap::Args)]
pub(crate) struct LookArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Look at all namespaces, whatever -n says.
    #[arg(short = 'A', long, env = "LEASEHOLD_ALL_NAMESPACES", value_parser = BoolishValueParser::new())]
    pub(crate) all_namespaces: bool,
    /// Look only at Leases with these labels, for example team=shop; candidates have Leases of their own.
    #[arg(short = 'l', long, env = "LEASEHOLD_SELECTOR", value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    #[command(flatten)]
    pub(crate) say: Say,
    /// Only the lock or election of this name, or of the Lease of this name. Default: all.
    pub(crate) name: Option<String>,
}

/// What to look at, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct FollowArgs {
    #[command(flatten)]
    pub(crate) look: LookArgs,
    /// Go on: redrawn in place on a terminal, elsewhere a line for each change but renewals.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Takes a lock or an election away from whoever holds it.
///
/// For a holder that hangs or cannot be reached. Its command is stopped once it hears of it, by
/// default within 5 s; until then another may hold it too. Nothing is done if the record is
/// changed after it was shown.
#[derive(Debug, clap::Args)]
#[command(after_help = help::RELEASE)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Yes, although somebody holds it. Needed: whoever locked something unlocks it by ending.
    #[arg(long, required = true)]
    pub(crate) force: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) say: Say,
    /// The lock or election.
    pub(crate) name: String,
}

/// Copies this program to a file or into a directory.
///
/// For an image that has nothing else in it, not even `cp`: the chart brings it into others so.
#[derive(Debug, clap::Args)]
#[command(after_help = help::INSTALL)]
pub(crate) struct InstallArgs {
    /// The file, or the directory.
    pub(crate) path: PathBuf,
}

/// Shows it at work in a quarter of a minute, without a cluster: contenders, a crash, a hand-over, a lost network.
#[derive(Debug, clap::Args)]
#[command(after_help = help::DEMO)]
pub(crate) struct DemoArgs {
    /// Show it on a web page instead, until Ctrl-C: three candidates, and a button that makes the leader resign. For example 127.0.0.1:8080.
    #[arg(long, value_name = "ADDR")]
    pub(crate) serve: Option<Address>,
}

/// What a tenure lives by.
#[derive(Clone, Debug, clap::Args, JsonSchema)]
pub(crate) struct TenureArgs {
    /// How long others must see no renewal before they may take over; whole seconds.
    #[schemars(schema_with = "written_duration")]
    #[arg(long, env = "LEASEHOLD_TTL", value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub(crate) ttl: Duration,
    /// How long the command has between TERM and KILL; at most 2/5 of the ttl. Default: 1/5 of it.
    #[schemars(schema_with = "written_duration_or_none")]
    #[arg(long, env = "LEASEHOLD_GRACE", value_name = "DURATION", value_parser = duration)]
    grace: Option<Duration>,
    /// Who holds it. Default: the pod's or host's name and a random uuid.
    #[schemars(skip)]
    #[arg(long, env = "LEASEHOLD_ID")]
    pub(crate) id: Option<String>,
}

/// What is said, and how.
#[derive(Clone, Copy, Debug, clap::Args, JsonSchema)]
pub(crate) struct Say {
    /// The format of what is printed.
    #[arg(short, long, env = "LEASEHOLD_OUTPUT", value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Say nothing, also when something is wrong: the exit code tells.
    #[schemars(skip)]
    #[arg(short, long, env = "LEASEHOLD_QUIET", value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
    /// Say what happens, on stderr; twice for more.
    #[schemars(range(max = 2))]
    #[arg(short, long, env = "LEASEHOLD_VERBOSE", action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl LockArgs {
    /// The name and the command, which is empty if there is none.
    pub(crate) fn words(&self) -> Result<(&str, &[OsString]), String> {
        split(&self.words)
    }
}

impl ElectArgs {
    /// The name and the command, which is empty if there is none.
    pub(crate) fn words(&self) -> Result<(&str, &[OsString]), String> {
        split(&self.words)
    }
}

impl TenureArgs {
    /// How long the command has between TERM and KILL.
    pub(crate) fn grace(&self) -> Result<Duration, String> {
        // Whole seconds, as the library counts.
        let ttl = Duration::from_secs(self.ttl.as_secs() + u64::from(self.ttl.subsec_nanos() > 0));
        let grace = self.grace.unwrap_or(ttl / 5);
        // What remains just before a renewal is due, less one attempt: else a healthy lock would look lost.
        let most = ttl / 5 * 2;
        if grace > most {
            return Err(format!(
                "--grace {grace:?} is longer than a ttl of {ttl:?} allows: at most {most:?}, or choose a longer --ttl"
            ));
        }
        Ok(grace)
    }
}

fn split(words: &[OsString]) -> Result<(&str, &[OsString]), String> {
    let [name, command @ ..] = words else { return Err("NAME is missing".into()) };
    let name = name.to_str().ok_or_else(|| format!("the name {} is not UTF-8", name.display()))?;
    let command = match command {
        [dashes, command @ ..] if dashes == "--" => command,
        command => command,
    };
    Ok((name, command))
}

/// `90`, `90s`, `1h30m`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(secs) = text.parse::<u64>() {
        return Ok(Duration::from_secs(secs));
    }
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "write it like 90s, 5m, 1h30m or 500ms".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "it must not be negative".into())
}

/// What [`duration`] reads, as a schema.
fn written_duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^([0-9]+|([0-9]+(ms|s|m|h))+)$" })
}

fn written_duration_or_none(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^([0-9]+|([0-9]+(ms|s|m|h))+)?$" })
}
