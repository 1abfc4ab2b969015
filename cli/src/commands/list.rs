//! `leasehold members` and `leasehold status`.

use std::time::Duration;

use leasehold::{Inspect as _, LeaseRecord, RecordOptions, RecordWatch, SessionInfo};
use tokio::time::{sleep, timeout};

use super::query::{Query, changed, only_one};
use crate::{
    cli::args::ListArgs,
    clock,
    cluster::wait::in_time,
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
/// How often the sessions are listed, while a lock names one.
const SESSIONS: Duration = Duration::from_secs(15);
/// The longest time for that list before the next update of the screen.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Longer than any request may take.
const FAR: Duration = Duration::from_secs(60);

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
    let mut rows = rows::<R>(&records, name, alone);
    Sessions::default().judge(query, alone, &mut rows, FAR).await;
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
    let mut sessions = Sessions::default();
    loop {
        let mut rows = rows::<R>(&watch.current(), query.args.name.as_deref(), alone);
        sessions.judge(query, alone, &mut rows, AT_ONCE).await;
        if !screen.show(rows, watch.last_error()) {
            return 0;
        }
        warnings.update(query.problem(&watch));
        if screen.is_live() {
            sleep(REST).await;
        }
        if !changed(&mut watch).await {
            return 0;
        }
    }
}

/// The sessions that hold locks, from a list that is not older than [`SESSIONS`].
#[derive(Default)]
struct Sessions {
    list: Vec<SessionInfo>,
    /// When it was last requested.
    at: Option<Duration>,
}

impl Sessions {
    /// Reports the sessions to the rows whose state depends on them, as far as they can be read.
    async fn judge<R: Row>(&mut self, query: &Query, alone: bool, rows: &mut [R], limit: Duration) {
        // Where only the Lease of NAME may be read, no session may be.
        if alone || !rows.iter().any(R::needs_sessions) {
            return;
        }
        let now = clock::now();
        if self.at.is_none_or(|at| now >= at + SESSIONS) {
            self.at = Some(now);
            let mut options = RecordOptions::default();
            options.all_namespaces = query.args.all_namespaces;
            let subject = query.subject();
            let list = in_time(query.connection.inspect.list_sessions(options), &subject);
            let list = timeout(limit, list).await;
            // Without an answer the rows stay as the records show them.
            self.list = list.ok().and_then(Result::ok).unwrap_or_default();
        }
        for row in rows {
            row.judge(&self.list);
        }
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
