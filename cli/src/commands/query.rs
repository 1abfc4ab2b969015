//! What `status`, `members` and `watch` have in common: the records to read, and the connection.

use std::time::Duration;

use leasehold::{RecordOptions, RecordWatch};
use tokio::time::sleep;

use crate::{
    cli::args::QueryArgs,
    cluster::{connect::Connection, wait::in_time},
    exit::{Outcome, Subject},
};

/// How often the times in a table are updated.
const TICK: Duration = Duration::from_secs(1);

/// The records to read, and the connection to read them from.
pub(super) struct Query {
    pub(super) args: QueryArgs,
    pub(super) connection: Connection,
    pub(super) object: String,
}

impl Query {
    pub(super) async fn open(args: QueryArgs, what: &str) -> Outcome<Self> {
        let object = object(what, args.name.as_deref());
        let connection = Connection::open(&args.target, None, &object).await?;
        Ok(Self { args, connection, object })
    }

    pub(super) fn options(&self) -> RecordOptions {
        let mut options = RecordOptions::default();
        options.all_namespaces = self.args.all_namespaces;
        options.label_selector.clone_from(&self.args.selector);
        options
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        let subject = self.connection.subject(&self.object);
        let everywhere = self.args.all_namespaces;
        Subject { namespace: if everywhere { "*" } else { subject.namespace }, ..subject }
    }

    pub(super) async fn watch(&self) -> Outcome<RecordWatch> {
        in_time(self.connection.sync.watch_records(self.options()), &self.subject()).await
    }

    /// The problem of the watch, as a line to print.
    pub(super) fn problem(&self, watch: &RecordWatch) -> Option<String> {
        let Subject { namespace, server, .. } = self.subject();
        let place = if namespace == "*" { "all namespaces" } else { namespace };
        let line =
            |why: &str| format!("cannot watch {} in {place} on {server}: {why}", self.object);
        watch.last_error().map(line)
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
