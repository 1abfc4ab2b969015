//! `leasehold watch`: the events of locks and elections.

use jiff::Timestamp;
use leasehold::{EndReason, RecordEvent, RecordEventKind, RecordKind};
use schemars::JsonSchema;
use serde::Serialize;

use super::query::{Query, changed};
use crate::{
    cli::args::QueryArgs,
    console,
    exit::Outcome,
    output::{
        lines::{Line, print},
        rows::Record,
        table::{Row as _, Tone},
        warn_once::{TOLERANCE, WarnOnce},
    },
};

/// Prints the events of locks and elections until the output is closed.
pub(crate) async fn run(args: QueryArgs) -> Outcome {
    let query = Query::open(args, Record::WHAT).await?;
    let (mut watch, _) = query.watch(true).await?.into_parts();
    let name = query.args.name.as_deref();
    if !query.args.report.quiet && Record::rows(&watch.current(), name).is_empty() {
        let name = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let place = if query.args.all_namespaces {
            "any namespace".to_owned()
        } else {
            format!("namespace `{}`", query.subject().namespace)
        };
        console::report(format_args!(
            "there is no {}{name} in {place} yet: the first event is waited for",
            Record::WHAT
        ));
    }
    let mut warnings = WarnOnce::new(&query.object, TOLERANCE, query.args.report.quiet);
    loop {
        let events = watch.take_events().into_iter();
        for event in events.filter(|event| name.is_none_or(|name| is_named(event, name))) {
            if !print(&EventLine::now(event, query.args.all_namespaces), query.args.report.output) {
                return Ok(0);
            }
        }
        warnings.update(query.problem(&watch));
        if !changed(&mut watch).await {
            return Ok(0);
        }
    }
}

/// A line of `watch`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventLine {
    /// When this process observed it, RFC 3339.
    at: String,
    #[serde(flatten)]
    event: RecordEvent,
    /// Whether the text includes the namespace.
    #[serde(skip)]
    everywhere: bool,
}

impl EventLine {
    #[expect(clippy::disallowed_methods, reason = "printed only: no decision uses it")]
    pub(crate) fn now(event: RecordEvent, everywhere: bool) -> Self {
        Self { at: format!("{:.3}", Timestamp::now()), event, everywhere }
    }
}

impl Line for EventLine {
    fn printable(&self) -> String {
        self.text()
    }

    fn text(&self) -> String {
        let RecordEvent { event, kind, name, namespace, holder: id, token, why, .. } = &self.event;
        let (name, id) = (console::printable(name), console::printable(id));
        let (at, tone) = (&self.at, tone(*event).style());
        let event = format!("{event:?}").to_lowercase();
        let kind = if *kind == RecordKind::Lock { "lock" } else { "election" };
        let place = if self.everywhere { format!("{namespace}/") } else { String::new() };
        let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
        let why = why.map(|why| format!(" ({})", reason(why))).unwrap_or_default();
        let queue = in_queue(&self.event);
        format!("{at}  {tone}{event:<8}{tone:#}  {kind:<8}  {place}{name}: {id}{token}{why}{queue}")
    }
}

/// Why a tenure ended, in words that fit to `lost`.
fn reason(why: EndReason) -> String {
    match why {
        EndReason::Succeeded => "another holder followed".into(),
        why => format!("{why:?}").to_lowercase(),
    }
}

/// The place in the queue, and who holds: only for joins and leaves.
fn in_queue(event: &RecordEvent) -> String {
    let Some(place) = event.place else { return String::new() };
    let holders: Vec<_> = event.holders.iter().map(|holder| console::printable(holder)).collect();
    let held = if holders.is_empty() {
        "free".to_owned()
    } else {
        format!("held by {}", holders.join(", "))
    };
    format!(", place {place}, {held}")
}

/// Whether `name` is the name of the lock or election, or of its Lease.
fn is_named(event: &RecordEvent, name: &str) -> bool {
    event.name == name || event.lease == name
}

const fn tone(event: RecordEventKind) -> Tone {
    match event {
        RecordEventKind::Acquired | RecordEventKind::Elected => Tone::Good,
        RecordEventKind::Lost => Tone::Bad,
        RecordEventKind::Left => Tone::Quiet,
        _ => Tone::Plain,
    }
}
