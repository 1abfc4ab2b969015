//! The log on stderr: warnings by default, more with `-v`.

use std::{fmt, io};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer, layer as printed},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// The module of the library that logs how tenures begin and end.
const TENURES: &str = "leasehold::runtime::telemetry";

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
    let lines = printed().with_writer(io::stderr).with_ansi(false);
    let lines = if verbose == 0 { lines.event_format(Plain).boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(lines.with_filter(wanted)).init();
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
