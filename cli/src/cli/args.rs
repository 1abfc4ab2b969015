//! The subcommands and their options.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand, builder::BoolishValueParser,
    error::ErrorKind, value_parser,
};

use super::{
    combinations,
    duration::{duration, positive_duration},
    environment, help, plugin,
    prune_args::PruneArgs,
    report_args::ReportArgs,
    selector::selector,
    tenure_args::TenureArgs,
};
use crate::{
    cluster::{etcd::EtcdArgs, target::Target},
    output::format::Format,
    sidecar::{http::Address, options::SidecarArgs, page::HostName},
};

/// Locks and leader election on Kubernetes Leases, or on etcd.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, after_help = help::after(), max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Parses the command line. An option on the command line overrides the environment.
    ///
    /// # Errors
    ///
    /// The text to print: a usage error, or the help that was requested.
    pub(crate) fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        let command = || plugin::named(Self::command(), words.first());
        let mut counting = environment::counting(command());
        let matches = match counting.try_get_matches_from_mut(words) {
            // The help shows all variables.
            Err(help) if help.kind() == ErrorKind::DisplayHelp => {
                return Err(command().try_get_matches_from(words).err().unwrap_or(help));
            }
            Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
                return Err(environment::named_invalid(&mut counting, words).unwrap_or(error));
            }
            matches => matches?,
        };
        let mut args = Self::from_arg_matches(&matches)?;
        if let Some((name, given)) = matches.subcommand() {
            combinations::apply(&mut args.command, given).map_err(|line| {
                let part = counting.find_subcommand_mut(name).expect("the subcommand was parsed");
                part.error(ErrorKind::ArgumentConflict, line)
            })?;
        }
        Ok(args)
    }

    pub(crate) const fn quiet(&self) -> bool {
        self.command.report().quiet
    }

    pub(crate) const fn verbose(&self) -> u8 {
        self.command.report().verbose
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Lock(LockArgs),
    Elect(Box<ElectArgs>),
    /// Lists the candidates of elections, including leaders.
    #[command(
        after_help = help::MEMBERS,
        mut_arg("name", |name| name.help("List only the candidates of this election. Default: all elections"))
    )]
    Members(ListArgs),
    /// Lists locks and elections: the holder, its token, and when it acquired them.
    #[command(after_help = help::STATUS)]
    Status(ListArgs),
    /// Prints the present state, then every change: locks, leaders and candidates.
    #[command(after_help = help::WATCH)]
    Watch(QueryArgs),
    Sessions(SessionsArgs),
    Release(ReleaseArgs),
    Prune(PruneArgs),
    Install(InstallArgs),
    Demo(DemoArgs),
    /// Prints the JSON Schemas of the output of `-o json`.
    Schema,
    /// Prints the completion script for a shell.
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
    const fn report(&self) -> ReportArgs {
        match self {
            Self::Lock(args) => args.report,
            Self::Elect(args) => args.report,
            Self::Members(args) | Self::Status(args) => args.query.report,
            Self::Watch(args) => args.report,
            Self::Sessions(args) => args.report,
            Self::Release(args) => args.report,
            Self::Prune(args) => args.report,
            Self::Install(_)
            | Self::Demo(_)
            | Self::Schema
            | Self::Completions { .. }
            | Self::Man => ReportArgs { output: Format::Text, quiet: false, verbose: 0 },
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
    /// Wait at most this long for the lock, for example 90s, 5m or 1h30m, and as long for an API server that is not
    /// there yet. Default: no limit for the lock, 8 s for the API server.
    #[arg(long, env = "LEASEHOLD_WAIT", value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    pub(crate) wait: Option<Duration>,
    /// Do not wait: exit at once if the lock is held. Only for a lock whose holder was silent for the ttl, and so may have
    /// crashed, wait up to two times the ttl.
    #[arg(long = "try", env = "LEASEHOLD_TRY", value_parser = BoolishValueParser::new())]
    pub(crate) try_once: bool,
    /// No other run starts for at least this long from the start of this one, also after it has ended: for example 10m,
    /// at most 366d. By the clocks of the hosts. Until then --try, and a shorter --wait, end with 75. Not with --shared
    /// or --slots.
    #[arg(
        long,
        env = "LEASEHOLD_AT_LEAST",
        value_name = "DURATION",
        allow_hyphen_values = true,
        value_parser = positive_duration
    )]
    pub(crate) at_least: Option<Duration>,
    /// Wait in a queue, first come, first served across processes. It opens a session, with a Lease of its own: the
    /// Role must grant create, get, list, watch, update and delete on all leases of the namespace. Use it in all
    /// processes that use this lock. Not with --attempt.
    #[arg(long, env = "LEASEHOLD_QUEUE", value_parser = BoolishValueParser::new())]
    pub(crate) queue: bool,
    /// Let up to N processes hold the lock at once, each with a slot of its own: a semaphore. Implies --queue. All
    /// processes pass the same N, 1 to 256.
    #[arg(
        long,
        env = "LEASEHOLD_SLOTS",
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = value_parser!(u16).range(1..=256)
    )]
    pub(crate) slots: Option<u16>,
    /// Share the lock with other holders that pass --shared, but not with one that does not. Implies --queue.
    #[arg(long, env = "LEASEHOLD_SHARED", value_parser = BoolishValueParser::new())]
    pub(crate) shared: bool,
    /// The namespace of the Leases of sessions, for fleets of more than about 500 processes: the Leases of locks stay in
    /// the namespace of -n. All processes that use the lock must pass the same. Only with --queue, --slots or --shared.
    #[arg(long, env = "LEASEHOLD_SESSION_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) session_namespace: Option<String>,
    /// The exit code if the lock is held with --try, or if --wait has passed.
    #[arg(
        long,
        env = "LEASEHOLD_BUSY_CODE",
        value_name = "CODE",
        allow_negative_numbers = true,
        default_value_t = crate::exit::code::BUSY
    )]
    pub(crate) busy_code: u8,
    #[command(flatten)]
    pub(crate) tenure: TenureArgs,
    /// The lock's name, and the command with its arguments.
    #[arg(required = true, trailing_var_arg = true, num_args = 1.., value_name = "NAME [CMD [ARG]...]")]
    words: Vec<OsString>,
    #[command(flatten, next_help_heading = help::CLUSTER)]
    pub(crate) target: Target,
    #[command(flatten, next_help_heading = help::OUTPUT)]
    pub(crate) report: ReportArgs,
}

/// Runs a command while this process leads an election, and again each time it is elected.
///
/// When the lead is lost, the command is stopped before another candidate leads. When the command ends by
/// itself, the candidate resigns. Without a command, prints the leader and the status of this candidate.
#[derive(Debug, clap::Args)]
#[command(
    after_help = help::ELECT,
    override_usage = "leasehold elect [OPTIONS] NAME [--] [CMD [ARG]...]"
)]
pub(crate) struct ElectArgs {
    /// Exit with code 79 when the lead is lost, instead of becoming a candidate again.
    #[arg(long, env = "LEASEHOLD_ONCE", value_parser = BoolishValueParser::new())]
    pub(crate) once: bool,
    /// Elect the candidates in the order in which they came. Needs permission to create, get, list, watch, update and
    /// delete all Leases of the namespace. All candidates of the election should use it.
    #[arg(long, env = "LEASEHOLD_QUEUE", value_parser = BoolishValueParser::new())]
    pub(crate) queue: bool,
    /// The namespace of the Leases of sessions, for fleets of more than about 500 processes: the Leases of locks stay in
    /// the namespace of -n. All processes that use the election must pass the same. Only with --queue.
    #[arg(long, env = "LEASEHOLD_SESSION_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) session_namespace: Option<String>,
    /// A text that `leasehold members`, the sidecar and its page show with this candidate, for example its address. At
    /// most 1024 bytes.
    #[arg(long, env = "LEASEHOLD_PAYLOAD", value_name = "TEXT")]
    pub(crate) payload: Option<String>,
    /// Wait at most this long for an API server that is not there at the start, for example 90s or 5m, then exit with
    /// code 69. Default: no limit.
    #[arg(
        long,
        env = "LEASEHOLD_WAIT_FOR_SERVER",
        value_name = "DURATION",
        allow_hyphen_values = true,
        value_parser = duration
    )]
    pub(crate) wait_for_server: Option<Duration>,
    #[command(flatten)]
    pub(crate) tenure: TenureArgs,
    /// The election's name, and the command with its arguments.
    #[arg(required = true, trailing_var_arg = true, num_args = 1.., value_name = "NAME [CMD [ARG]...]")]
    words: Vec<OsString>,
    #[command(flatten, next_help_heading = help::SIDECAR)]
    pub(crate) sidecar: SidecarArgs,
    #[command(flatten, next_help_heading = help::CLUSTER)]
    pub(crate) target: Target,
    #[command(flatten, next_help_heading = help::OUTPUT)]
    pub(crate) report: ReportArgs,
}

/// Which locks and elections to read.
#[derive(Debug, clap::Args)]
pub(crate) struct QueryArgs {
    /// Read all namespaces. Overrides -n.
    #[arg(short = 'A', long, env = "LEASEHOLD_ALL_NAMESPACES", value_parser = BoolishValueParser::new())]
    pub(crate) all_namespaces: bool,
    /// Read only Leases with these labels, for example team=shop. Candidates have Leases of their own.
    #[arg(short = 'l', long, env = "LEASEHOLD_SELECTOR", value_name = "SELECTOR", value_parser = selector)]
    pub(crate) selector: Option<String>,
    /// Read only the lock or election of this name, or the Lease of this name. Default: all.
    pub(crate) name: Option<String>,
    #[command(flatten, next_help_heading = help::CLUSTER)]
    pub(crate) target: Target,
    #[command(flatten, next_help_heading = help::OUTPUT)]
    pub(crate) report: ReportArgs,
}

/// Which locks and elections to list, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Keep watching. A terminal is redrawn in place; other outputs get a line for each change except renewals.
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) query: QueryArgs,
}

/// Lists the sessions of `lock --queue`: their processes, and how many locks they hold and wait for.
#[derive(Debug, clap::Args)]
#[command(after_help = help::SESSIONS)]
pub(crate) struct SessionsArgs {
    /// Read all namespaces. Overrides -n.
    #[arg(short = 'A', long, env = "LEASEHOLD_ALL_NAMESPACES", value_parser = BoolishValueParser::new())]
    pub(crate) all_namespaces: bool,
    #[command(flatten, next_help_heading = help::CLUSTER)]
    pub(crate) target: Target,
    #[command(flatten, next_help_heading = help::OUTPUT)]
    pub(crate) report: ReportArgs,
}

/// Takes a lock or an election away from its holder.
///
/// `release --force NAME` is for a holder that hangs or cannot be reached. The holder stops its command when it sees the
/// change, by default within 5 s. Until then two processes may hold the lock. If the record changes after it was
/// shown, nothing is done. The command also removes the time that `lock --at-least` has set, from a free lock too.
///
/// `release --session SESSION` ends a session: all its locks pass to the next processes in their queues. The command
/// waits until the session was not renewed for its ttl, and exits with 75 if the session is renewed meanwhile.
///
/// `release --session SESSION --force` also ends the session of a process that is alive. Within a third of the ttl that
/// process sees it and stops its commands. No other process gets one of the locks before that.
#[derive(Debug, clap::Args)]
#[command(after_help = help::RELEASE)]
pub(crate) struct ReleaseArgs {
    /// Required with NAME, because a lock is normally released by its holder.
    #[arg(long, required_unless_present = "session")]
    pub(crate) force: bool,
    /// End this session, as `leasehold sessions` names it.
    #[arg(long, value_name = "SESSION", conflicts_with = "name")]
    pub(crate) session: Option<String>,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// The name of the lock or election, or of its Lease.
    #[arg(required_unless_present = "session")]
    pub(crate) name: Option<String>,
    #[command(flatten, next_help_heading = help::CLUSTER)]
    pub(crate) target: Target,
    #[command(flatten, next_help_heading = help::OUTPUT)]
    pub(crate) report: ReportArgs,
}

/// Copies this program to a file or into a directory.
///
/// For an image that contains no other program, not even `cp`. The chart copies the program into other
/// containers this way.
#[derive(Debug, clap::Args)]
#[command(after_help = help::INSTALL)]
pub(crate) struct InstallArgs {
    /// The target file or directory.
    pub(crate) path: PathBuf,
}

/// Shows locks and elections in 15 seconds, without a cluster: contenders, a crash, a hand-over, a lost network.
///
/// With --etcd it plays on a cluster of etcd, with keys of its own, which it deletes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::DEMO)]
pub(crate) struct DemoArgs {
    /// Serve a web page on this address instead, until Ctrl-C: three candidates, and a button that makes the
    /// leader resign. For example 127.0.0.1:8080.
    #[arg(long, value_name = "ADDR")]
    pub(crate) serve: Option<Address>,
    /// A name under which browsers may use the page, besides IP addresses and localhost: demo.example.com, or
    /// .example.com for all names below it. Repeat it, or separate names with commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "serve")]
    pub(crate) allow_host: Vec<HostName>,
    #[command(flatten, next_help_heading = help::ETCD)]
    pub(crate) etcd: EtcdArgs,
}

impl LockArgs {
    /// Whether the lock is acquired through a session.
    pub(crate) const fn is_queued(&self) -> bool {
        self.queue || self.shared || self.slots.is_some()
    }

    /// The name and the command, which is empty if there is none.
    pub(crate) fn name_and_command(&self) -> Result<(&str, &[OsString]), String> {
        split(&self.words)
    }
}

impl ElectArgs {
    /// The name and the command, which is empty if there is none.
    pub(crate) fn name_and_command(&self) -> Result<(&str, &[OsString]), String> {
        split(&self.words)
    }
}

fn split(words: &[OsString]) -> Result<(&str, &[OsString]), String> {
    let [name, command @ ..] = words else { return Err("NAME is missing".into()) };
    let name =
        name.to_str().ok_or_else(|| format!("the name `{}` is not UTF-8", name.display()))?;
    let command = match command {
        [dashes, command @ ..] if dashes == "--" => command,
        command => command,
    };
    Ok((name, command))
}
