//! `leasehold members` and `leasehold status`.

use std::time::Duration;

use leasehold::RecordWatch;
use tokio::time::sleep;

use super::query::{Query, changed};
use crate::{
    cli::args::ListArgs,
    cluster::wait::in_time,
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
        return Ok(follow::<R>(query, query.watch().await?, layout).await);
    }
    let records = query.connection.sync.list_records(query.options());
    let rows = R::rows(&in_time(records, &query.subject()).await?, name);
    if rows.is_empty() && (name.is_some() || output == Format::Text) {
        return report_empty::<R>(query);
    }
    layout.print(&rows);
    Ok(0)
}

/// Shows the rows and their changes until the output is closed.
async fn follow<R: Row>(query: &Query, mut watch: RecordWatch, layout: Layout) -> u8 {
    let mut screen = Screen::<R>::new(layout);
    let mut warnings =
        WarnOnce::new(&query.object, TOLERANCE, query.args.report.quiet || screen.is_live());
    loop {
        let rows = R::rows(&watch.current(), query.args.name.as_deref());
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

/// Reports an empty list. It is an error only if a name was given.
fn report_empty<R: Row>(query: &Query) -> Outcome {
    let (what, namespace) = (R::WHAT, query.subject().namespace);
    let place = match namespace {
        "*" => "in any namespace".to_owned(),
        namespace => format!("in namespace `{namespace}`"),
    };
    let Some(name) = &query.args.name else {
        if !query.args.report.quiet {
            eprintln!("leasehold: there is no {what} {place}");
        }
        return Ok(0);
    };
    let line = match what {
        Candidate::WHAT => format!("there is no candidate of an election `{name}` {place}"),
        _ => format!("there is no {what} `{name}` {place}"),
    };
    let next = "Check the namespace (-n, -A); `leasehold status` lists all names";
    Err(Failure::new(code::MISSING, format!("{line}. {next}")))
}
