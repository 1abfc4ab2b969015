//! `leasehold members` and `leasehold status`.

use std::time::Duration;

use leasehold::{RecordOptions, RecordWatch};
use tokio::time::sleep;

use crate::{
    cli::args::{ListArgs, QueryArgs},
    cluster::{connect::Connection, wait::in_time},
    exit::{Failure, Outcome, Subject, code},
    output::{
        format::Format,
        rows::{Candidate, Record},
        table::{Layout, Row, Screen},
        warn_once::{TOLERANCE, WarnOnce},
    },
};

/// How often the times in a table are updated.
const TICK: Duration = Duration::from_secs(1);
/// The shortest time between two updates of the screen.
const REST: Duration = Duration::from_millis(100);

/// Lists candidates.
pub(crate) async fn members(args: ListArgs) -> Outcome {
    let query = Query::open(args.query, "election").await?;
    query.list::<Candidate>(args.watch).await
}

/// Lists locks and elections.
pub(crate) async fn status(args: ListArgs) -> Outcome {
    let query = Query::open(args.query, Record::WHAT).await?;
    query.list::<Record>(args.watch).await
}

/// The records to read, and the connection to read them from.
pub(super) struct Query {
    pub(super) args: QueryArgs,
    connection: Connection,
    pub(super) object: String,
}

impl Query {
    pub(super) async fn open(args: QueryArgs, what: &str) -> Outcome<Self> {
        let object = object(what, args.name.as_deref());
        let connection = Connection::open(&args.target, None, &object).await?;
        Ok(Self { args, connection, object })
    }

    fn options(&self) -> RecordOptions {
        let mut options = RecordOptions::default();
        options.everywhere = self.args.all_namespaces;
        options.labels.clone_from(&self.args.selector);
        options
    }

    fn subject(&self) -> Subject<'_> {
        let subject = self.connection.subject(&self.object);
        let everywhere = self.args.all_namespaces;
        Subject { namespace: if everywhere { "*" } else { subject.namespace }, ..subject }
    }

    pub(super) async fn watch(&self) -> Outcome<RecordWatch> {
        in_time(self.connection.sync.watch_records(self.options()), &self.subject()).await
    }

    async fn list<R: Row>(&self, watched: bool) -> Outcome {
        let (name, output) = (self.args.name.as_deref(), self.args.report.output);
        let layout = Layout { watched, namespaces: self.args.all_namespaces, output };
        if watched {
            return Ok(self.follow::<R>(self.watch().await?, layout).await);
        }
        let records = self.connection.sync.records(self.options());
        let rows = R::rows(&in_time(records, &self.subject()).await?, name);
        if rows.is_empty() && (name.is_some() || output == Format::Text) {
            return self.report_empty::<R>();
        }
        layout.print(&rows);
        Ok(0)
    }

    /// Shows the rows and their changes until the output is closed.
    async fn follow<R: Row>(&self, mut watch: RecordWatch, layout: Layout) -> u8 {
        let mut screen = Screen::<R>::new(layout);
        let mut warnings =
            WarnOnce::new(&self.object, TOLERANCE, self.args.report.quiet || screen.is_live());
        loop {
            let rows = R::rows(&watch.records(), self.args.name.as_deref());
            if !screen.show(rows, watch.trouble()) {
                return 0;
            }
            warnings.update(self.problem(&watch));
            if screen.is_live() {
                sleep(REST).await;
            }
            changed(&mut watch).await;
        }
    }

    /// The problem of the watch, as a line to print.
    pub(super) fn problem(&self, watch: &RecordWatch) -> Option<String> {
        let Subject { namespace, server, .. } = self.subject();
        let place = if namespace == "*" { "all namespaces" } else { namespace };
        let line =
            |why: &str| format!("cannot watch {} in {place} on {server}: {why}", self.object);
        watch.trouble().map(line)
    }

    /// Reports an empty list. It is an error only if a name was given.
    fn report_empty<R: Row>(&self) -> Outcome {
        let (what, namespace) = (R::WHAT, self.subject().namespace);
        let place = match namespace {
            "*" => "in any namespace".to_owned(),
            namespace => format!("in namespace `{namespace}`"),
        };
        let Some(name) = &self.args.name else {
            if !self.args.report.quiet {
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
}

/// Waits for a change, at most until the times must be updated.
pub(super) async fn changed(watch: &mut RecordWatch) {
    tokio::select! {
        biased;
        () = watch.changed() => {}
        () = sleep(TICK) => {}
    }
}

fn object(what: &str, name: Option<&str>) -> String {
    name.map_or_else(|| format!("every {what}"), |name| format!("{what} `{name}`"))
}
