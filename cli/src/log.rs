//! The log on stderr: warnings by default, more with `-v`.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets, dynamic_filter_fn},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer, layer as printed},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::console::Log;

/// The module of the library that logs how tenures begin and end.
const TENURES: &str = "leasehold::runtime::telemetry";

/// The module of the library that warns about errors that keep callers waiting.
const OUTAGES: &str = "leasehold::runtime::outage";

/// The module of the library that warns that a session is over.
const SESSIONS: &str = "leasehold::runtime::session::beats";

/// The program reports by itself the loss of what it holds, with the cause.
static REPORTS_LOSS: AtomicBool = AtomicBool::new(false);

/// Holds the library's warning that a session is over back from now on, because the program holds a lock or leads, and
/// ends with one line about its loss.
pub(crate) fn reports_loss() {
    REPORTS_LOSS.store(true, Ordering::Relaxed);
}

/// The program reports by itself that it waits for a server.
static REPORTS_SERVER: AtomicBool = AtomicBool::new(false);

/// Holds the library's warnings about waits back for as long as `reports` is true, because the program reports the wait
/// for a server with more detail. What is held back is due again at the next attempt.
pub(crate) fn reports_server(reports: bool) {
    REPORTS_SERVER.store(reports, Ordering::Relaxed);
}

/// Logs warnings unless `quiet`, debug messages with `-v`, and traces with `-vv`, which include the HTTP client's.
pub(crate) fn begin(quiet: bool, verbose: u8) {
    let (own, others) = match verbose {
        0 if quiet => return,
        0 => (LevelFilter::WARN, LevelFilter::OFF),
        1 => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let mut wanted = Targets::new().with_default(others).with_target("leasehold", own);
    if verbose == 0 {
        // The commands themselves report how tenures begin and end.
        wanted = wanted.with_target(TENURES, LevelFilter::OFF);
    }
    let held_back = dynamic_filter_fn(move |event, _| match event.target() {
        OUTAGES => !REPORTS_SERVER.load(Ordering::Relaxed),
        SESSIONS => verbose > 0 || !REPORTS_LOSS.load(Ordering::Relaxed),
        _ => true,
    });
    // Not a filter of the layer, because with such filters the library cannot know that a warning is held back.
    let filter =
        tracing_subscriber::registry().with(held_back.with_max_level_hint(own)).with(wanted);
    let lines = printed().with_writer(|| Log).with_ansi(false);
    let lines = if verbose == 0 { lines.event_format(Plain).boxed() } else { lines.boxed() };
    filter.with(lines).init();
}

/// Formats an event like the other lines of the program.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "leasehold: ")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
