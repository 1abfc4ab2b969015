//! What `status`, `members` and `watch` have in common: the records to read, and the connection.

use std::time::Duration;

use leasehold::{Error, Inspect as _, Options, RecordOptions, RecordWatch};
use tokio::time::sleep;

use crate::{
    backend::Backend,
    cli::args::QueryArgs,
    cluster::{connect::Connection, wait::in_time},
    exit::{Outcome, Subject, object},
    output::stdout,
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
        let object = match &args.name {
            Some(name) => object(what, name)?,
            None => format!("every {what}"),
        };
        let selector = ("--selector", "LEASEHOLD_SELECTOR", args.selector.is_some());
        args.target.refuse_with_etcd(&[selector])?;
        let connection = Connection::open(&args.target, Options::default(), &object).await?;
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

    /// Reads the records; if `alone`, only the Lease of NAME where that is all that may be read.
    pub(super) async fn read<T>(
        &self,
        alone: bool,
        read: impl AsyncFn(RecordOptions) -> Result<T, Error>,
    ) -> Outcome<Permitted<T>> {
        // A NAME in all namespaces, or with a label, is not one Lease.
        let alone = alone && !self.args.all_namespaces && self.args.selector.is_none();
        let name = self.args.name.as_deref().filter(|_| alone);
        let records = permitted(&self.connection, self.options(), name, read);
        in_time(records, &self.subject()).await
    }

    /// Watches what [`read`](Self::read) reads.
    pub(super) async fn watch(&self, alone: bool) -> Outcome<Permitted<RecordWatch>> {
        self.read(alone, async |options| self.connection.inspect.watch_records(options).await).await
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

/// The next step if NAME does not exist, and only the record of NAME may be read.
pub(super) const fn only_one(backend: Backend) -> &'static str {
    match backend {
        Backend::Kubernetes => {
            "Check the namespace (-n). Leases with a prefix before the name are not seen, because `list` on all leases \
                of the namespace is not granted"
        }
        Backend::Etcd => "Check the namespace (-n) and the prefix of the keys (--etcd-prefix)",
    }
}

/// What may be read.
pub(super) enum Permitted<T> {
    /// All records.
    All(T),
    /// Only the Lease of NAME. The records of candidates and Leases of other prefixes are unknown.
    One(T),
}

impl<T> Permitted<T> {
    /// The content, and whether it is only the Lease of NAME.
    pub(super) fn into_parts(self) -> (T, bool) {
        match self {
            Self::All(content) => (content, false),
            Self::One(content) => (content, true),
        }
    }
}

/// Reads the records that `options` select. If the user may not list them, reads the one record that the program uses
/// for `name`: a Role with `resourceNames` permits that, or a permission for one key.
///
/// All records come first, because a program with a prefix may have given the same name to another Lease.
pub(super) async fn permitted<T>(
    connection: &Connection,
    options: RecordOptions,
    name: Option<&str>,
    read: impl AsyncFn(RecordOptions) -> Result<T, Error>,
) -> Result<Permitted<T>, Error> {
    match (read(options).await, name) {
        (Err(Error::PermissionDenied { .. }), Some(name)) => {
            let lease = connection.inspect.record_name(name)?;
            read(RecordOptions::default().lease(lease)).await.map(Permitted::One)
        }
        (all, _) => all.map(Permitted::All),
    }
}

/// Waits for a change, at most until the times must be updated. False if the reader of the output has left.
pub(super) async fn changed(watch: &mut RecordWatch) -> bool {
    tokio::select! {
        biased;
        () = stdout::abandoned() => false,
        () = watch.changed() => true,
        () = sleep(TICK) => true,
    }
}
