//! The timeline: events are printed as they happen, and checked at the end.

use std::{
    error::Error,
    fmt::Display,
    io::{self, ErrorKind, Write as _},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use leasehold::Tenure;

/// The result of a scene. An error is an event that did not happen as described.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The common clock of the demonstration, and the tenures that it timed.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    start: Instant,
    tenures: Arc<Mutex<Vec<Span>>>,
}

/// One tenure, as observed by its holder.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    actor: &'static str,
    token: u64,
    from: Duration,
    until: Option<Duration>,
    end: &'static str,
}

impl Timeline {
    #[expect(clippy::disallowed_methods, reason = "printed only: no decision uses it")]
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now(), tenures: Arc::default() }
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time since `then`.
    pub(crate) fn since(&self, then: Duration) -> Duration {
        self.now().saturating_sub(then)
    }

    /// Prints an event of `actor`.
    pub(crate) fn say(&self, actor: &str, what: impl Display) {
        print_line(format_args!("{:>8.3}  {actor:<8}{what}", self.now().as_secs_f64()));
    }

    /// Prints that `actor` got `tenure`, and records it.
    pub(crate) fn began(&self, actor: &'static str, tenure: &Tenure) {
        let (name, token) = (tenure.name().to_owned(), tenure.token().get());
        let from = self.now();
        self.say(actor, format_args!("HOLDS `{name}`, token {token}"));
        self.spans().push(Span { name, actor, token, from, until: None, end: "" });
    }

    /// Records that the holder of `tenure` did not believe to hold it from `until` on.
    pub(crate) fn ended(&self, tenure: &Tenure, until: Duration, end: &'static str) {
        let mut spans = self.spans();
        let same =
            |span: &&mut Span| span.name == tenure.name() && span.token == tenure.token().get();
        if let Some(span) = spans.iter_mut().find(same) {
            (span.until, span.end) = (Some(until), end);
        }
    }

    /// The longest time without a holder between two tenures of `name`.
    pub(crate) fn longest_gap(&self, name: &str) -> Option<Duration> {
        let spans = self.spans();
        let mine: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        mine.windows(2).filter_map(|pair| pair[1].from.checked_sub(pair[0].until?)).max()
    }

    /// Prints all tenures as a table, and checks the two guarantees.
    pub(crate) fn summary(&self) -> Outcome {
        let mut spans = self.spans().clone();
        spans.sort_by(|a, b| (&a.name, a.from).cmp(&(&b.name, b.from)));
        print_line(format_args!(
            "{:<12}{:<9}{:>5}  {:>7} {:>7}  ended",
            "name", "holder", "token", "from", "until"
        ));
        for Span { name, actor, token, from, until, end } in &spans {
            let (from, until) = (from.as_secs_f64(), until.ok_or("a tenure has no end")?);
            let until = until.as_secs_f64();
            print_line(format_args!(
                "{name:<12}{actor:<9}{token:>5}  {from:>7.3} {until:>7.3}  {end}"
            ));
        }
        let pairs: Vec<_> = spans.windows(2).filter(|pair| pair[0].name == pair[1].name).collect();
        let growing = pairs.iter().filter(|pair| pair[0].token < pair[1].token).count();
        let apart = pairs.iter().filter(|pair| pair[0].until <= Some(pair[1].from)).count();
        let takeovers = pairs.len();
        print_line(format_args!(
            "\n{} tenures, {takeovers} of them after another tenure of the same name:",
            spans.len()
        ));
        print_line(format_args!(
            "  larger token than the tenure before:         {growing} of {takeovers}"
        ));
        print_line(format_args!(
            "  began after the tenure before had ended:     {apart} of {takeovers}"
        ));
        expect(takeovers > 0, "there must be takeovers")?;
        expect(growing == takeovers, "tokens must grow")?;
        expect(apart == takeovers, "two processes must not hold a lock at the same time")
    }

    fn spans(&self) -> MutexGuard<'_, Vec<Span>> {
        self.tenures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first error of the output that was more than a reader that has gone.
static ERROR: OnceLock<io::Error> = OnceLock::new();

/// Prints a line. A reader that has gone, as `head` does, ends nothing.
pub(crate) fn print_line(line: impl Display) {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => drop(ERROR.set(error)),
        _ => {}
    }
}

/// Checks that each line was printed.
pub(crate) fn all_printed() -> Outcome {
    let failed =
        |error| format!("the output is not complete, because it could not be written: {error}");
    ERROR.get().map_or(Ok(()), |error| Err(failed(error).into()))
}

/// Prints the title of a scene.
pub(crate) fn scene(title: &str) {
    print_line(format_args!("\n{title}\n"));
}

/// Prints an explanation.
pub(crate) fn note(text: impl AsRef<str>) {
    for line in text.as_ref().lines() {
        print_line(format_args!("{:>10}| {line}", ""));
    }
}

/// Ends the demonstration with the error `otherwise` unless `holds`.
pub(crate) fn expect(holds: bool, otherwise: &str) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
