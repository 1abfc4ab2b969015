//! `leasehold members`, `status` and `watch`.

use futures::StreamExt as _;
use leasehold::{Error, ListMembersOptions, RecordKind, Sync as _, WatchElectOptions};
use tokio::time::timeout;

use crate::{
    acquire::PATIENCE,
    args::{LookArgs, Output},
    connect::Connection,
    failure::{About, Failure, Outcome, code},
    output::{Line, Record, Row, print, table},
};

/// Lists candidates.
pub(crate) async fn members(args: LookArgs) -> Outcome {
    let connection = Connection::open(&args.target, None).await?;
    let object = object("election", args.name.as_deref());
    let about = connection.about(&object);
    let options =
        args.name.iter().fold(ListMembersOptions::default(), ListMembersOptions::election);
    let members = in_time(connection.sync.list_members(options), &about).await?;
    show(&members, args.say.output);
    Ok(0)
}

/// Lists locks and elections.
pub(crate) async fn status(args: LookArgs) -> Outcome {
    let connection = Connection::open(&args.target, None).await?;
    let object = object("lock or election", args.name.as_deref());
    let about = connection.about(&object);
    let records = in_time(connection.sync.records(None), &about).await?;
    let rows: Vec<_> = records
        .iter()
        .filter(|record| record.kind != RecordKind::Candidate)
        .filter(|record| args.name.as_ref().is_none_or(|name| *name == record.name))
        .map(|record| Record::new(record, &records))
        .collect();
    if let (Some(name), true) = (&args.name, rows.is_empty()) {
        let namespace = &connection.namespace;
        let line = format!(
            "there is no lock or election `{name}` in namespace `{namespace}`. Is it the right namespace (-n)? `leasehold status` lists all"
        );
        return Err(Failure::new(code::MISSING, line));
    }
    show(&rows, args.say.output);
    Ok(0)
}

/// Prints what happens in elections, until nobody reads any more.
pub(crate) async fn watch(args: LookArgs) -> Outcome {
    let connection = Connection::open(&args.target, None).await?;
    let object = object("election", args.name.as_deref());
    let about = connection.about(&object);
    let options = args.name.iter().fold(WatchElectOptions::default(), WatchElectOptions::id);
    let mut events = in_time(connection.sync.watch_elect(options), &about).await?;
    while let Some(event) = events.next().await {
        if !print(&event, args.say.output) {
            break;
        }
    }
    Ok(0)
}

/// One request, which a server that is not there must not hold up.
pub(crate) async fn in_time<T>(
    request: impl Future<Output = Result<T, Error>>,
    about: &About<'_>,
) -> Outcome<T> {
    match timeout(PATIENCE, request).await {
        Ok(result) => result.map_err(|error| about.failure(&error)),
        Err(_) => Err(about.failure(&crate::acquire::no_answer())),
    }
}

fn object(what: &str, name: Option<&str>) -> String {
    name.map_or_else(|| format!("every {what}"), |name| format!("{what} `{name}`"))
}

/// A table for people, a line each for programs.
fn show<R: Row + Line>(rows: &[R], output: Output) {
    match output {
        Output::Text => table(rows),
        Output::Json => rows.iter().for_each(|row| {
            print(row, output);
        }),
    }
}
