//! `leasehold members` and `leasehold status`.

use std::time::Duration;

use leasehold::{Inspect as _, LeaseRecord, RecordWatch};
use tokio::time::sleep;

use super::query::{Query, changed, only_one};
use crate::{
    cli::args::ListArgs,
    console,
    exit::{Failure, Outcome, code},
    output::{
        format::Format,
        rows::{Candidate, Record},
        table::{Layout, Row, Screen},
        warn_once::{TOLERANCE, WarnOnce},
    },
};

/// The shortest time between two updates of the screen.
const REST: Duration = Duration::from_millis(100);

/// Lists candidates.
pub(crate) async fn members(args: ListArgs) -> Outcome {
    let query = Query::open(args.query, "election").await?;
    list::<Candidate>(&query, args.watch).await
}

/// Lists locks and elections.
pub(crate) async fn status(args: ListArgs) -> Outcome {
    let query = Query::open(args.query, Record::WHAT).await?;
    list::<Record>(&query, args.watch).await
}

async fn list<R: Row>(query: &Query, watched: bool) -> Outcome {
    let (name, output) = (query.args.name.as_deref(), query.args.report.output);
    let layout = Layout { watched, namespaces: query.args.all_namespaces, output };
    if watched {
        let (watch, alone) = query.watch(R::ALONE).await?.into_parts();
        return Ok(follow::<R>(query, watch, alone, layout).await);
    }
    let inspect = &query.connection.inspect;
    let read = query.read(R::ALONE, async |options| inspect.list_records(options).await);
    let (records, alone) = read.await?.into_parts();
    let rows = rows::<R>(&records, name, alone);
    if rows.is_empty() && (name.is_some() || output == Format::Text) {
        return report_empty::<R>(query, alone);
    }
    layout.print(&rows);
    Ok(0)
}

/// Shows the rows and their changes until the output is closed.
async fn follow<R: Row>(query: &Query, mut watch: RecordWatch, alone: bool, layout: Layout) -> u8 {
    let mut screen = Screen::<R>::new(layout);
    let mut warnings =
        WarnOnce::new(&query.object, TOLERANCE, query.args.report.quiet || screen.is_live());
    loop {
        let rows = rows::<R>(&watch.current(), query.args.name.as_deref(), alone);
        if !screen.show(rows, watch.last_error()) {
            return 0;
        }
        warnings.update(query.problem(&watch));
        if screen.is_live() {
            sleep(REST).await;
        }
        changed(&mut watch).await;
    }
}

/// The rows of the records with this name. `alone`: only the Lease of that name could be read.
fn rows<R: Row>(records: &[LeaseRecord], name: Option<&str>, alone: bool) -> Vec<R> {
    let mut rows = R::rows(records, name);
    if alone {
        rows.iter_mut().for_each(R::hide_candidates);
    }
    rows
}

/// Reports an empty list. It is an error only if a name was given.
fn report_empty<R: Row>(query: &Query, alone: bool) -> Outcome {
    let (what, namespace) = (R::WHAT, query.subject().namespace);
    let place = match namespace {
        "*" => "in any namespace".to_owned(),
        namespace => format!("in namespace `{namespace}`"),
    };
    let Some(name) = &query.args.name else {
        if !query.args.report.quiet {
            console::report(format_args!("there is no {what} {place}"));
        }
        return Ok(0);
    };
    let line = match what {
        Candidate::WHAT => format!("there is no candidate of an election `{name}` {place}"),
        _ => format!("there is no {what} `{name}` {place}"),
    };
    let next = if alone {
        only_one(query.connection.backend())
    } else {
        "Check the namespace (-n, -A); `leasehold status` lists all names"
    };
    Err(Failure::new(code::MISSING, format!("{line}. {next}")))
}
