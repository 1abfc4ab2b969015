//! What happened when: told as it happens, judged at the end.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use leasehold::Tenure;

/// How a scene ends. An error is something that did not happen as told.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A clock that everybody in the demonstration looks at, and the tenures that it timed.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    start: Instant,
    tenures: Arc<Mutex<Vec<Told>>>,
}

/// One tenure, as its holder saw it.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    who: &'static str,
    token: u64,
    from: Duration,
    until: Option<Duration>,
    end: &'static str,
}

impl Timeline {
    #[expect(clippy::disallowed_methods, reason = "for people: nothing is decided on it")]
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now(), tenures: Arc::default() }
    }

    /// The time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time since `then`.
    pub(crate) fn since(&self, then: Duration) -> Duration {
        self.now().saturating_sub(then)
    }

    pub(crate) fn say(&self, who: &str, what: impl std::fmt::Display) {
        println!("{:>8.3}  {who:<8}{what}", self.now().as_secs_f64());
    }

    /// `who` has just been granted `tenure`.
    pub(crate) fn began(&self, who: &'static str, tenure: &Tenure) {
        let (name, token) = (tenure.name().to_owned(), tenure.token().get());
        let from = self.now();
        self.say(who, format_args!("HOLDS `{name}`, token {token}"));
        self.told().push(Told { name, who, token, from, until: None, end: "" });
    }

    /// From `until` on the holder of `tenure` did not think that it held it.
    pub(crate) fn ended(&self, tenure: &Tenure, until: Duration, end: &'static str) {
        let mut told = self.told();
        let same =
            |told: &&mut Told| told.name == tenure.name() && told.token == tenure.token().get();
        if let Some(told) = told.iter_mut().find(same) {
            (told.until, told.end) = (Some(until), end);
        }
    }

    /// The longest time that `name` was without a holder between two tenures.
    pub(crate) fn longest_gap(&self, name: &str) -> Option<Duration> {
        let told = self.told();
        let mine: Vec<_> = told.iter().filter(|told| told.name == name).collect();
        mine.windows(2).filter_map(|pair| pair[1].from.checked_sub(pair[0].until?)).max()
    }

    /// Every tenure in a table, and whether they kept the two promises.
    pub(crate) fn summary(&self) -> Outcome {
        let mut told = self.told().clone();
        told.sort_by(|a, b| (&a.name, a.from).cmp(&(&b.name, b.from)));
        println!(
            "{:<12}{:<9}{:>5}  {:>7} {:>7}  ended",
            "name", "holder", "token", "from", "until"
        );
        for Told { name, who, token, from, until, end } in &told {
            let (from, until) = (from.as_secs_f64(), until.ok_or("a tenure has no end")?);
            let until = until.as_secs_f64();
            println!("{name:<12}{who:<9}{token:>5}  {from:>7.3} {until:>7.3}  {end}");
        }
        let pairs: Vec<_> = told.windows(2).filter(|pair| pair[0].name == pair[1].name).collect();
        let growing = pairs.iter().filter(|pair| pair[0].token < pair[1].token).count();
        let apart = pairs.iter().filter(|pair| pair[0].until <= Some(pair[1].from)).count();
        let takeovers = pairs.len();
        println!("\n{} tenures, {takeovers} of them after another of the same name:", told.len());
        println!("  larger token than the one before:       {growing} of {takeovers}");
        println!("  began after the one before had ended:   {apart} of {takeovers}");
        expect(takeovers > 0, "nobody took over from anybody")?;
        expect(growing == takeovers, "tokens must grow")?;
        expect(apart == takeovers, "two held the same at the same time")
    }

    fn told(&self) -> MutexGuard<'_, Vec<Told>> {
        self.tenures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins a scene.
pub(crate) fn scene(title: &str) {
    println!("\n{title}\n");
}

/// Explains what was just to be seen.
pub(crate) fn note(text: impl AsRef<str>) {
    for line in text.as_ref().lines() {
        println!("{:>10}| {line}", "");
    }
}

/// Ends the demonstration if what it has just told is not true.
pub(crate) fn expect(holds: bool, otherwise: &str) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
