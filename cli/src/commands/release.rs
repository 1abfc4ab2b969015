//! `leasehold release --force`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use leasehold::{LeaseRecord, RecordKind, RecordOptions};
use serde::Serialize;

use crate::{
    cli::args::ReleaseArgs,
    cluster::{connect::Connection, wait::in_time},
    exit::{About, Failure, Outcome, code},
    output::{
        lines::{Line, print},
        rows::Record,
    },
};

/// Shows who holds it, asks, and takes it away if nothing has changed meanwhile.
pub(crate) async fn run(args: ReleaseArgs) -> Outcome {
    let object = format!("lock or election `{}`", args.name);
    let connection = Connection::open(&args.target, None, &object).await?;
    let (name, namespace) = (&args.name, &connection.namespace);
    let about = connection.about(&object);
    let records = in_time(connection.sync.records(RecordOptions::default()), &about).await?;
    let record = the_one(&records, name, &about)?;
    if record.holder.is_none() {
        let line = format!("{object} in namespace `{namespace}` is free: there is nothing to do");
        return Err(Failure::new(code::MISSING, line));
    }
    if !args.yes && io::stdin().is_terminal() && !confirmed(record) {
        return Err(Failure::new(code::MISSING, "nothing was done"));
    }
    if !in_time(connection.sync.free(record), &about).await? {
        let line = format!(
            "{object} in namespace `{namespace}` was changed after it was shown, by a renewal or by a new holder: nothing was done. Run it again"
        );
        return Err(Failure::new(code::BUSY, line));
    }
    let now = Record::released(record, &records);
    print(&Taken { now, before: record }, args.say.output);
    Ok(0)
}

/// A record that was taken away, and how it was before.
#[derive(Serialize)]
struct Taken<'a> {
    #[serde(flatten)]
    now: Record,
    #[serde(skip)]
    before: &'a LeaseRecord,
}

impl Line for Taken<'_> {
    fn text(&self) -> String {
        let LeaseRecord { name, namespace, holder, token, .. } = self.before;
        let holder = holder.as_deref().unwrap_or_default();
        let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
        format!("`{name}` in namespace `{namespace}` is free: it was taken from {holder}{token}")
    }
}

/// The one of this name: of two that applications with different prefixes call so, the name of the Lease tells.
fn the_one<'a>(
    records: &'a [LeaseRecord],
    name: &str,
    about: &About<'_>,
) -> Outcome<&'a LeaseRecord> {
    let (object, namespace) = (about.object, about.namespace);
    let tenures = || records.iter().filter(|record| record.kind != RecordKind::Candidate);
    if let Some(record) = tenures().find(|record| record.lease == name) {
        return Ok(record);
    }
    let found: Vec<_> = tenures().filter(|record| record.name == name).collect();
    let line = match found[..] {
        [record] => return Ok(record),
        [] => format!(
            "there is no {object} in namespace `{namespace}`. Is it the right namespace (-n)? `leasehold status` lists all"
        ),
        _ => {
            let leases: Vec<_> = found.iter().map(|record| &*record.lease).collect();
            format!(
                "{object} in namespace `{namespace}` may be one of several Leases: {}. Name the Lease",
                leases.join(", ")
            )
        }
    };
    Err(Failure::new(code::MISSING, line))
}

fn confirmed(record: &LeaseRecord) -> bool {
    let holder = record.holder.as_deref().unwrap_or_default();
    eprint!(
        "`{}` is held by `{holder}`. Until that notices, two may hold it. Take it away? [y/N] ",
        record.name
    );
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
