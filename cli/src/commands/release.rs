//! `leasehold release --force`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use leasehold::{Error, Inspect as _, LeaseRecord, Options, RecordKind, RecordOptions};
use schemars::JsonSchema;
use serde::Serialize;

use super::query::{only_one, permitted};
use crate::{
    cli::args::ReleaseArgs,
    cluster::{connect::Connection, wait::in_time},
    console,
    exit::{Failure, Outcome, Subject, code, object},
    output::{
        lines::{Line, print},
        rows::Record,
        table::Row as _,
    },
};

/// Shows the holder, asks for confirmation, and releases the record if it has not changed meanwhile.
pub(crate) async fn run(args: ReleaseArgs) -> Outcome {
    let name = match (&args.session, &args.name) {
        (Some(session), _) => return end_session(&args, session).await,
        (None, Some(name)) => name,
        (None, None) => return Err(Failure::new(code::USAGE, "NAME is missing")),
    };
    let object = object("lock or election", name)?;
    let connection = Connection::open(&args.target, Options::default(), &object).await?;
    let namespace = &connection.namespace;
    let subject = connection.subject(&object);
    let list = async |options| connection.inspect.list_records(options).await;
    let read = permitted(&connection, RecordOptions::default(), Some(name), list);
    let (records, alone) = in_time(read, &subject).await?.into_parts();
    let record = find(&records, alone, name, &subject)?;
    if record.holder.is_none() && record.not_before.is_none() {
        let line = format!(
            "{object} in namespace `{namespace}` is already free. `leasehold status` lists all records"
        );
        return Err(Failure::new(code::MISSING, line));
    }
    if !args.yes && io::stdin().is_terminal() && !confirmed(record) {
        return Err(Failure::new(code::MISSING, "not confirmed: nothing was done"));
    }
    if !in_time(connection.inspect.force_release(record), &subject).await? {
        let line = format!(
            "{object} in namespace `{namespace}` changed after it was read, by a renewal or a new holder: \
                nothing was done. Run the command again"
        );
        return Err(Failure::new(code::BUSY, line));
    }
    let mut now = Record::released(record, &records);
    if alone {
        now.hide_candidates();
    }
    print(&Released { now, before: record }, args.report.output);
    Ok(0)
}

/// Ends a session.
async fn end_session(args: &ReleaseArgs, session: &str) -> Outcome {
    let object = object("session", session)?;
    let connection = Connection::open(&args.target, Options::default(), &object).await?;
    let (subject, namespace) = (connection.subject(&object), &connection.namespace);
    let found = if args.force {
        in_time(connection.inspect.delete_session(session), &subject).await?
    } else {
        let record = RecordOptions::default().lease(session);
        let known = in_time(connection.inspect.list_sessions(record), &subject).await?;
        let exists = !known.is_empty();
        if exists && !args.report.quiet {
            console::report(format_args!(
                "{object} in namespace `{namespace}` is watched for its ttl"
            ));
        }
        // It takes as long as the ttl, and each request has a limit.
        match connection.inspect.end_session(session).await {
            Err(Error::Held { holder, .. }) => {
                let line = format!(
                    "{object} in namespace `{namespace}` is renewed by `{holder}`: nothing was done. Stop that process, \
                        or pass --force"
                );
                return Err(Failure::new(code::BUSY, line));
            }
            // One that existed and is not found any more has ended by itself.
            other => other.map_err(|error| subject.failure(&error))? || exists,
        }
    };
    if !found {
        let line = format!(
            "there is no {object} in namespace `{namespace}`. Check the namespace (-n); `leasehold sessions` lists all"
        );
        return Err(Failure::new(code::MISSING, line));
    }
    print(&SessionEnded { session, namespace, ended: true }, args.report.output);
    Ok(0)
}

/// A session that was ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SessionEnded<'a> {
    session: &'a str,
    namespace: &'a str,
    /// Always true: otherwise nothing is printed.
    ended: bool,
}

impl Line for SessionEnded<'_> {
    fn text(&self) -> String {
        let Self { session, namespace, .. } = self;
        format!(
            "session `{session}` in namespace `{namespace}` is over: its locks go on to the next"
        )
    }
}

/// A record that was released, with its state before.
#[derive(Serialize)]
struct Released<'a> {
    #[serde(flatten)]
    now: Record,
    #[serde(skip)]
    before: &'a LeaseRecord,
}

impl Line for Released<'_> {
    fn text(&self) -> String {
        let LeaseRecord { name, namespace, holder, token, .. } = self.before;
        let Some(holder) = holder else {
            return format!(
                "`{name}` in namespace `{namespace}` may be acquired at once: the time that --at-least set was removed"
            );
        };
        let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
        format!("`{name}` in namespace `{namespace}` is free: it was taken from {holder}{token}")
    }
}

/// Finds the record of this name. `alone`: only the Lease of that name could be read. If programs with different prefixes use the same name, the user must name the Lease.
fn find<'a>(
    records: &'a [LeaseRecord],
    alone: bool,
    name: &str,
    subject: &Subject<'_>,
) -> Outcome<&'a LeaseRecord> {
    let (object, namespace) = (subject.object, subject.namespace);
    let tenures = || records.iter().filter(|record| record.kind != RecordKind::Candidate);
    if let Some(record) = tenures().find(|record| record.lease == name) {
        return Ok(record);
    }
    let found: Vec<_> = tenures().filter(|record| record.name == name).collect();
    let line = match found[..] {
        [record] => return Ok(record),
        [] => {
            let next = if alone {
                only_one(subject.backend)
            } else {
                "Check the namespace (-n); `leasehold status` lists all names"
            };
            format!("there is no {object} in namespace `{namespace}`. {next}")
        }
        _ => {
            let leases: Vec<_> = found.iter().map(|record| &*record.lease).collect();
            format!(
                "{object} in namespace `{namespace}` matches several Leases: {}. Pass the name of the Lease",
                leases.join(", ")
            )
        }
    };
    Err(Failure::new(code::MISSING, line))
}

fn confirmed(record: &LeaseRecord) -> bool {
    let name = &record.name;
    let question = match &record.holder {
        Some(holder) => format!(
            "`{name}` is held by `{holder}`. Until this holder sees the change, two processes may hold it. Release it? [y/N] "
        ),
        None => format!("`{name}` is free. Remove the time before which no run may start? [y/N] "),
    };
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{}", console::printable(&question)).and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
