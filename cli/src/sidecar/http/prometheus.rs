//! Metrics in memory, and as text for Prometheus.
//!
//! Written here because the exporter for `metrics` adds 24 crates for eleven metrics.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// The upper bounds of the buckets of a histogram, in seconds. Requests take a millisecond to some seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The bounds of a wait, which takes as long as the tenures of others.
const WAITS: [f64; 12] =
    [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0];

/// The metric with the bounds of a wait.
const WAIT: &str = "leasehold_wait_duration_seconds";

/// All series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Arc<Mutex<BTreeMap<String, Family>>>);

/// The series of one name.
#[derive(Debug, Default)]
struct Family {
    help: String,
    /// By their labels as text.
    series: BTreeMap<String, Series>,
}

#[derive(Debug)]
enum Series {
    Counter(Arc<AtomicU64>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

/// For each bound, the number of values up to it.
#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64; BOUNDS.len()],
    recorded: Mutex<Recorded>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Recorded {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Registry {
    /// All series as text, in the order of their names.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (name, family) in self.families().iter() {
            let Some(kind) = family.series.values().next().map(Series::kind) else { continue };
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, series) in &family.series {
                series.render(name, labels, &mut text);
            }
        }
        text
    }

    fn families(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, name: &KeyName, help: &str) {
        help.clone_into(&mut self.families().entry(name.as_str().into()).or_default().help);
    }

    /// The result of `pick` for the series `key`, which is created by `new` if it does not exist.
    fn series<T>(
        &self,
        key: &Key,
        new: impl FnOnce() -> Series,
        pick: impl FnOnce(&Series) -> Option<T>,
    ) -> Option<T> {
        let mut families = self.families();
        let family = families.entry(key.name().into()).or_default();
        pick(family.series.entry(labels(key)).or_insert_with(new))
    }
}

impl Recorder for Registry {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let new = || Series::Counter(Arc::default());
        let counter = self.series(key, new, |series| match series {
            Series::Counter(value) => Some(Counter::from_arc(Arc::clone(value))),
            _ => None,
        });
        counter.unwrap_or_else(Counter::noop)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let new = || Series::Gauge(Arc::default());
        let gauge = self.series(key, new, |series| match series {
            Series::Gauge(value) => Some(Gauge::from_arc(Arc::clone(value))),
            _ => None,
        });
        gauge.unwrap_or_else(Gauge::noop)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let bounds = if key.name() == WAIT { &WAITS } else { &BOUNDS };
        let new = || Series::Histogram(Arc::new(Buckets { bounds, recorded: Mutex::default() }));
        let histogram = self.series(key, new, |series| match series {
            Series::Histogram(buckets) => Some(Histogram::from_arc(Arc::clone(buckets))),
            _ => None,
        });
        histogram.unwrap_or_else(Histogram::noop)
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        for (count, bound) in recorded.counts.iter_mut().zip(self.bounds) {
            *count += u64::from(value <= *bound);
        }
        recorded.count += 1;
        recorded.sum += value;
    }
}

impl Series {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn render(&self, name: &str, labels: &str, text: &mut String) {
        let _ = match self {
            Self::Counter(value) => {
                writeln!(text, "{name}{{{labels}}} {}", value.load(Ordering::Relaxed))
            }
            Self::Gauge(bits) => {
                let value = f64::from_bits(bits.load(Ordering::Relaxed));
                writeln!(text, "{name}{{{labels}}} {value}")
            }
            Self::Histogram(buckets) => buckets.render(name, labels, text),
        };
    }
}

impl Buckets {
    fn render(&self, name: &str, labels: &str, text: &mut String) -> std::fmt::Result {
        let Recorded { counts, count, sum } =
            *self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let comma = if labels.is_empty() { "" } else { "," };
        for (count, bound) in counts.iter().zip(self.bounds) {
            writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}")?;
        }
        writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}")?;
        writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}")
    }
}

/// The labels of a series in order, as the text between the braces.
fn labels(key: &Key) -> String {
    let mut labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
    labels.sort_unstable();
    let written = labels.into_iter().map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_written_in_the_prometheus_text_format() {
        let registry = Registry::default();
        metrics::with_local_recorder(&registry, || {
            metrics::describe_counter!("c_total", "line\nback\\slash");
            metrics::counter!("c_total", "z" => "a \"b\"\\\n", "a" => "1").increment(3);
            metrics::gauge!("g").set(1.5);
            metrics::histogram!("h_seconds", "a" => "1").record(0.002);
            metrics::histogram!("h_seconds", "a" => "1").record(60.0);
            metrics::histogram!(WAIT).record(60.0);
        });

        let text = registry.render();

        let head = "# HELP c_total line\\nback\\\\slash\n# TYPE c_total counter\n";
        assert!(text.starts_with(head), "{text}");
        for line in [
            "c_total{a=\"1\",z=\"a \\\"b\\\"\\\\\\n\"} 3",
            "g{} 1.5",
            "h_seconds_bucket{a=\"1\",le=\"0.001\"} 0",
            "h_seconds_bucket{a=\"1\",le=\"0.0025\"} 1",
            "h_seconds_bucket{a=\"1\",le=\"5\"} 1",
            "h_seconds_bucket{a=\"1\",le=\"+Inf\"} 2",
            "h_seconds_sum{a=\"1\"} 60.002",
            "h_seconds_count{a=\"1\"} 2",
            "leasehold_wait_duration_seconds_bucket{le=\"15\"} 0",
            "leasehold_wait_duration_seconds_bucket{le=\"60\"} 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
    }
}
