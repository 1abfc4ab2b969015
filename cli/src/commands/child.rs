//! CMD under a lock or in an election: its environment, and the meaning of its end.

use std::{ffi::OsString, time::Duration};

use jiff::Timestamp;
use leasehold::{Error, Loss, Tenure};
use tokio::time::timeout;

use crate::{
    cluster::{access::identity, connect::Connection},
    exec::{
        nesting::{self, Nesting},
        supervise::End,
    },
    exit::{Failure, Outcome, Subject, code},
    output::lines::Held,
};

/// Time limit of the read that shows what became of a record.
const LOOKUP: Duration = Duration::from_secs(1);

/// The exit code of the command, or the failure.
pub(crate) async fn conclude(
    end: std::io::Result<End>,
    tenure: &Tenure,
    command: &[OsString],
    connection: &Connection,
    subject: &Subject<'_>,
) -> Outcome {
    let program = command.first().map(|program| program.display().to_string()).unwrap_or_default();
    match end {
        Err(error) => Err(Failure::internal(&format!("cannot start `{program}`"), &error)),
        Ok(End { survivors: Some(survivors), .. }) => {
            let why = loss(tenure, connection).await;
            Err(still_runs(&why, &program, &survivors, subject))
        }
        Ok(End { lost: true, .. }) => Err(lost(tenure, Some(&program), connection, subject).await),
        Ok(End { code: Some(code), .. }) => Ok(code),
        Ok(End { code: None, .. }) => Err(Failure::new(
            code::INTERNAL,
            format!("the exit code of `{program}` is not known, because other code reaped it"),
        )),
    }
}

/// The failure for a tenure that ended before the command did.
fn still_runs(why: &str, program: &str, survivors: &str, subject: &Subject<'_>) -> Failure {
    let Subject { object, namespace, .. } = *subject;
    let line = format!(
        "{object} in namespace `{namespace}` was lost while `{program}` ran: {why}. `{program}` could not be ended: \
            {survivors}. The record was not released: others may take it after its ttl. End what still runs"
    );
    Failure::new(code::INTERNAL, line)
}

/// Why the tenure ended.
async fn loss(tenure: &Tenure, connection: &Connection) -> String {
    match tenure.check() {
        Err(Error::Lost { why: Loss::Taken, .. }) => taken(tenure, connection).await,
        Err(Error::Lost { why, .. }) => why.to_string(),
        _ => "renewals failed for too long".into(),
    }
}

/// What the record of the lost tenure says now. The event that ended it may not have shown it.
async fn taken(tenure: &Tenure, connection: &Connection) -> String {
    let Ok(Ok(found)) = timeout(LOOKUP, connection.record(tenure.name())).await else {
        return Loss::Taken.to_string();
    };
    let Some(found) = found else { return Loss::Deleted.to_string() };
    let now = match &found.holder {
        // This process was elected again since, also in a record that was deleted in between.
        Some(holder) if *holder == tenure.holder() => return Loss::Altered.to_string(),
        Some(holder) => format!("it names `{}`", identity(connection, holder, None).await),
        None => "it names none, as after `leasehold release --force`".into(),
    };
    format!("{}: {now}", Loss::Taken)
}

/// The failure for a lost tenure. `program` was running, if given.
pub(crate) async fn lost(
    tenure: &Tenure,
    program: Option<&str>,
    connection: &Connection,
    subject: &Subject<'_>,
) -> Failure {
    let why = loss(tenure, connection).await;
    let (object, namespace) = (subject.object, subject.namespace);
    let stopped = program.map(|program| format!(" while `{program}` ran; it was stopped"));
    let stopped = stopped.unwrap_or_default();
    let line = format!(
        "{object} in namespace `{namespace}` was lost{stopped}: {why}. Check how far the work got before you \
            run it again"
    );
    Failure::new(code::LOST, line)
}

/// The line for a lead that was lost by a process that remains a candidate.
pub(crate) async fn still_candidate(
    tenure: &Tenure,
    command: &[OsString],
    connection: &Connection,
    subject: &Subject<'_>,
) -> String {
    let (object, namespace) = (subject.object, subject.namespace);
    let why = loss(tenure, connection).await;
    let program = command.first().map(|program| program.display().to_string()).unwrap_or_default();
    format!(
        "{object} in namespace `{namespace}` was lost while `{program}` ran; it was stopped: {why}. This process is still a \
            candidate"
    )
}

/// The lock or election that this process holds.
#[expect(clippy::disallowed_methods, reason = "printed, and passed to CMD: no decision uses it")]
pub(crate) fn held(tenure: &Tenure, namespace: &str) -> Held {
    let expires_at = Timestamp::now() + tenure.remaining();
    Held {
        name: tenure.name().into(),
        namespace: namespace.into(),
        holder: tenure.holder().into(),
        token: tenure.token().get(),
        slot: tenure.slot(),
        expires_at: format!("{expires_at:.3}"),
    }
}

/// The environment variables for CMD. They replace inherited ones.
pub(crate) fn variables(held: &Held, nesting: &Nesting) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("LEASEHOLD_NAME", held.name.clone()),
        ("LEASEHOLD_NAMESPACE", held.namespace.clone()),
        ("LEASEHOLD_HOLDER", held.holder.clone()),
        ("LEASEHOLD_TOKEN", held.token.to_string()),
        ("LEASEHOLD_EXPIRES_AT", held.expires_at.clone()),
        (nesting::VARIABLE, nesting.variable()),
    ];
    // An inherited one is that of another lock.
    variables.push(("LEASEHOLD_SLOT", held.slot.map(|slot| slot.to_string()).unwrap_or_default()));
    variables
}
