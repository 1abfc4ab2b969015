//! `leasehold sessions`.

use std::collections::BTreeMap;

use leasehold::{Inspect as _, LeaseRecord, Options, RecordOptions, SessionInfo};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::args::SessionsArgs,
    cluster::{connect::Connection, wait::in_time},
    console,
    exit::{Outcome, Subject},
    output::{
        format::Format,
        lines::{Line, print},
        rows::brief,
    },
};

/// Lists sessions with their locks and waits.
pub(crate) async fn run(args: SessionsArgs) -> Outcome {
    let object = "every session";
    let connection = Connection::open(&args.target, Options::default(), object).await?;
    let own = connection.subject(object);
    let namespace = if args.all_namespaces { "*" } else { own.namespace };
    let subject = Subject { namespace, ..own };
    let mut options = RecordOptions::default();
    options.all_namespaces = args.all_namespaces;
    let inspect = &connection.inspect;
    let sessions = in_time(inspect.list_sessions(options.clone()), &subject).await?;
    let records = in_time(inspect.list_records(options), &subject).await?;
    let uses = Uses::count(&records);
    let mut lines: Vec<_> =
        sessions.iter().map(|session| SessionLine::new(session, &uses)).collect();
    lines.sort_by(|one, two| {
        (&one.namespace, &one.identity, &one.session).cmp(&(
            &two.namespace,
            &two.identity,
            &two.session,
        ))
    });
    if lines.is_empty() && args.report.output == Format::Text && !args.report.quiet {
        let place = match namespace {
            "*" => "in any namespace".to_owned(),
            namespace => format!("in namespace `{namespace}`"),
        };
        console::report(format_args!("there is no session {place}"));
    }
    for line in &lines {
        if !print(line, args.report.output) {
            break;
        }
    }
    Ok(0)
}

/// How many locks each session holds and waits for. A session may be in another namespace than its locks.
#[derive(Default)]
struct Uses<'a> {
    held: BTreeMap<&'a str, usize>,
    waited: BTreeMap<&'a str, usize>,
}

impl<'a> Uses<'a> {
    fn count(records: &'a [LeaseRecord]) -> Self {
        let mut uses = Self::default();
        for record in records {
            let Some(queue) = &record.queue else { continue };
            for entry in &queue.holders {
                *uses.held.entry(&entry.session).or_default() += 1;
            }
            for entry in &queue.waiters {
                *uses.waited.entry(&entry.session).or_default() += 1;
            }
        }
        uses
    }
}

/// A line of `sessions`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SessionLine {
    /// The name of the session, which is the holder of its locks, and the name of its Lease on Kubernetes.
    session: String,
    namespace: String,
    /// The identity of its process.
    identity: String,
    state: SessionState,
    /// How long other processes must see no heartbeat before they may end it, in seconds.
    ttl_seconds: u64,
    /// How long ago it was renewed, in seconds, by the wall clocks of its process and of this host.
    renewed_seconds: Option<u64>,
    /// How many locks it holds.
    held: usize,
    /// How many locks it waits for.
    waiting: usize,
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SessionState {
    /// It was renewed within its ttl.
    Alive,
    /// The last renewal is longer ago than the ttl: its process is dead, or a clock is wrong.
    Overdue,
    /// It was ended.
    Over,
}

impl SessionLine {
    fn new(session: &SessionInfo, uses: &Uses<'_>) -> Self {
        let id = session.id.as_str();
        Self {
            session: session.id.clone(),
            namespace: session.namespace.clone(),
            identity: session.identity.clone(),
            state: match (session.is_over, session.is_alive()) {
                (true, _) => SessionState::Over,
                (false, true) => SessionState::Alive,
                (false, false) => SessionState::Overdue,
            },
            ttl_seconds: session.ttl.as_secs(),
            renewed_seconds: session.renewed_ago.map(|ago| ago.as_secs()),
            held: uses.held.get(id).copied().unwrap_or_default(),
            waiting: uses.waited.get(id).copied().unwrap_or_default(),
        }
    }
}

impl Line for SessionLine {
    fn text(&self) -> String {
        let Self { session, namespace, identity, state, ttl_seconds, held, waiting, .. } = self;
        let state = match state {
            SessionState::Alive => "alive",
            SessionState::Overdue => "overdue",
            SessionState::Over => "over",
        };
        let renewed = self.renewed_seconds.map_or_else(
            || "never renewed".into(),
            |ago| format!("renewed {} ago of {ttl_seconds}s", brief(ago)),
        );
        format!(
            "{session} in namespace `{namespace}` of `{identity}`: {state}, {renewed}, holds {held}, waits for {waiting}"
        )
    }
}
