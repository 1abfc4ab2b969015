//! `leasehold release --force`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use leasehold::{LeaseRecord, RecordKind, RecordOptions};
use serde::Serialize;

use crate::{
    cli::args::ReleaseArgs,
    cluster::{connect::Connection, wait::in_time},
    exit::{Failure, Outcome, Subject, code},
    output::{
        lines::{Line, print},
        rows::Record,
    },
};

/// Shows the holder, asks for confirmation, and releases the record if it has not changed meanwhile.
pub(crate) async fn run(args: ReleaseArgs) -> Outcome {
    let object = format!("lock or election `{}`", args.name);
    let connection = Connection::open(&args.target, None, &object).await?;
    let (name, namespace) = (&args.name, &connection.namespace);
    let subject = connection.subject(&object);
    let records = in_time(connection.sync.list_records(RecordOptions::default()), &subject).await?;
    let record = find(&records, name, &subject)?;
    if record.holder.is_none() {
        let line = format!(
            "{object} in namespace `{namespace}` is already free. `leasehold status` lists all records"
        );
        return Err(Failure::new(code::MISSING, line));
    }
    if !args.yes && io::stdin().is_terminal() && !confirmed(record) {
        return Err(Failure::new(code::MISSING, "not confirmed: nothing was done"));
    }
    if !in_time(connection.sync.force_release(record), &subject).await? {
        let line = format!(
            "{object} in namespace `{namespace}` changed after it was read, by a renewal or a new holder: \
                nothing was done. Run the command again"
        );
        return Err(Failure::new(code::BUSY, line));
    }
    let now = Record::released(record, &records);
    print(&Released { now, before: record }, args.report.output);
    Ok(0)
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
        let holder = holder.as_deref().unwrap_or_default();
        let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
        format!("`{name}` in namespace `{namespace}` is free: it was taken from {holder}{token}")
    }
}

/// Finds the record of this name. If programs with different prefixes use the same name, the user must name the Lease.
fn find<'a>(
    records: &'a [LeaseRecord],
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
        [] => format!(
            "there is no {object} in namespace `{namespace}`. Check the namespace (-n); `leasehold status` \
                lists all names"
        ),
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
    let holder = record.holder.as_deref().unwrap_or_default();
    eprint!(
        "`{}` is held by `{holder}`. Until this holder sees the change, two processes may hold it. Release it? [y/N] ",
        record.name
    );
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
