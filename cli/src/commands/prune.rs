//! `leasehold prune`.

use leasehold::{
    Error, Inspect as _, Options, PruneOptions, PruneOutcome, Pruned, RecordKind, RecordOptions,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::prune_args::PruneArgs,
    cluster::connect::Connection,
    exit::{Outcome, Subject},
    output::{
        format::Format,
        lines::{Line, print},
        rows::brief,
    },
};

/// Deletes unused records, and prints a line for each.
pub(crate) async fn run(args: PruneArgs) -> Outcome {
    let object = "unused locks and elections";
    let selector = ("--selector", "LEASEHOLD_SELECTOR", args.selector.is_some());
    args.target.refuse_with_etcd(&[selector])?;
    let connection = Connection::open(&args.target, Options::default(), object).await?;
    let own = connection.subject(object);
    let subject =
        Subject { namespace: if args.all_namespaces { "*" } else { own.namespace }, ..own };
    // No limit of the time: each request has one, and there may be thousands of records.
    let pruned = connection.inspect.prune(options(&args)).await;
    let pruned = pruned.map_err(|error| subject.failure(&error))?;
    let lines: Vec<_> = pruned.iter().map(PrunedLine::new).collect();
    for line in &lines {
        if !print(line, args.report.output) {
            break;
        }
    }
    if args.report.output == Format::Text {
        print(&Summary::of(&lines, &args, subject.namespace), Format::Text);
    }
    match pruned.iter().find_map(failure) {
        Some((record, error)) => {
            let object = format!("{} `{}`", word(record.record.kind), record.record.name);
            let namespace = &record.record.namespace;
            Err(Subject { object: &object, namespace, ..subject }.failure(error))
        }
        None => Ok(0),
    }
}

fn options(args: &PruneArgs) -> PruneOptions {
    let mut records = RecordOptions::default();
    records.all_namespaces = args.all_namespaces;
    records.label_selector.clone_from(&args.selector);
    let options = PruneOptions::default().records(records).older_than(args.older_than);
    if args.dry_run { options.dry_run() } else { options }
}

fn failure(pruned: &Pruned) -> Option<(&Pruned, &Error)> {
    match &pruned.outcome {
        PruneOutcome::Failed(error) => Some((pruned, error)),
        _ => None,
    }
}

/// A line of `prune`: an unused lock or election.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PrunedLine {
    name: String,
    namespace: String,
    /// The name of the Lease, or the last part of the key in etcd.
    lease: String,
    kind: RecordKind,
    outcome: WhatBecame,
    /// How long it was unused, in seconds, by the wall clocks of the last holder and of this host.
    unused_seconds: u64,
    /// Why the deletion failed; null if it did not fail.
    error: Option<String>,
}

/// What became of an unused lock or election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WhatBecame {
    /// It was deleted.
    Deleted,
    /// With --dry-run: it would be deleted.
    Unused,
    /// It was used or changed after it was found, and stays.
    Changed,
    /// The deletion failed.
    Failed,
}

impl PrunedLine {
    fn new(pruned: &Pruned) -> Self {
        let record = &pruned.record;
        Self {
            name: record.name.clone(),
            namespace: record.namespace.clone(),
            lease: record.lease.clone(),
            kind: record.kind,
            outcome: match pruned.outcome {
                PruneOutcome::Deleted => WhatBecame::Deleted,
                PruneOutcome::Unused => WhatBecame::Unused,
                PruneOutcome::Changed => WhatBecame::Changed,
                _ => WhatBecame::Failed,
            },
            unused_seconds: record.renewed_ago.unwrap_or_default().as_secs(),
            error: failure(pruned).map(|(_, error)| error.to_string()),
        }
    }
}

impl Line for PrunedLine {
    fn text(&self) -> String {
        let Self { name, namespace, kind, outcome, unused_seconds, .. } = self;
        let record = format!("{} `{name}` in namespace `{namespace}`", word(*kind));
        let unused = brief(*unused_seconds);
        match outcome {
            WhatBecame::Deleted => format!("deleted {record}, unused for {unused}"),
            WhatBecame::Unused => format!("would delete {record}, unused for {unused}"),
            WhatBecame::Changed => format!("kept {record}: it was used or changed meanwhile"),
            WhatBecame::Failed => format!("could not delete {record}"),
        }
    }
}

/// The last line.
#[derive(Debug, Serialize)]
struct Summary(String);

impl Summary {
    fn of(lines: &[PrunedLine], args: &PruneArgs, namespace: &str) -> Self {
        let place = match namespace {
            "*" => "all namespaces".to_owned(),
            namespace => format!("namespace `{namespace}`"),
        };
        let age = brief(args.older_than.as_secs());
        let done = if args.dry_run { WhatBecame::Unused } else { WhatBecame::Deleted };
        let count = lines.iter().filter(|line| line.outcome == done).count();
        let verb = if args.dry_run { "would delete" } else { "deleted" };
        let all = lines.len();
        Self(match all {
            0 => format!("no lock or election in {place} is free and unused for {age}"),
            _ => format!("{verb} {count} of {all} locks and elections in {place} unused for {age}"),
        })
    }
}

impl Line for Summary {
    fn text(&self) -> String {
        self.0.clone()
    }
}

const fn word(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Election => "election",
        _ => "lock",
    }
}
