//! `leasehold release --force`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use leasehold::{LeaseRecord, RecordKind};

use crate::{
    args::ReleaseArgs,
    connect::Connection,
    failure::{Failure, Outcome, code},
    look::in_time,
    output::{Record, print},
};

/// Shows who holds it, asks, and takes it away if nothing has changed meanwhile.
pub(crate) async fn run(args: ReleaseArgs) -> Outcome {
    let connection = Connection::open(&args.target, None).await?;
    let (name, namespace) = (&args.name, &connection.namespace);
    let object = format!("lock or election `{name}`");
    let about = connection.about(&object);
    let records = in_time(connection.sync.records(None), &about).await?;
    let is_it =
        |record: &&LeaseRecord| record.kind != RecordKind::Candidate && record.name == *name;
    let Some(record) = records.iter().find(is_it) else {
        let line = format!(
            "there is no {object} in namespace `{namespace}`. Is it the right namespace (-n)? `leasehold status` lists all"
        );
        return Err(Failure::new(code::MISSING, line));
    };
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
    let released = Record::new(record, &records).released();
    print(&released, args.say.output);
    Ok(0)
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
