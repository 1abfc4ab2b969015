//! A recorder of metrics that keeps every series in memory.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

const TO_A_STRING: &str = "writing to a String does not fail";

/// All series, by the name of the metric.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Arc<Mutex<BTreeMap<String, Metric>>>);

#[derive(Debug, Default)]
struct Metric {
    help: String,
    /// By their labels, as `render` prints them.
    series: BTreeMap<String, Series>,
}

#[derive(Clone, Debug)]
enum Series {
    Counter(Arc<AtomicU64>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Count>),
}

/// How many values a histogram got.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Registry {
    /// Every series in the text format of Prometheus. A histogram is its count alone.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (name, Metric { help, series }) in self.metrics().iter() {
            let Some(kind) = series.values().next().map(Series::kind) else { continue };
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(TO_A_STRING);
            for (labels, series) in series {
                let (suffix, value) = series.value();
                writeln!(text, "{name}{suffix}{{{labels}}} {value}").expect(TO_A_STRING);
            }
        }
        text
    }

    fn metrics(&self) -> MutexGuard<'_, BTreeMap<String, Metric>> {
        self.0.lock().expect("no other test uses it")
    }

    fn describe(&self, name: &KeyName, help: &str) {
        let mut metrics = self.metrics();
        help.clone_into(&mut metrics.entry(name.as_str().into()).or_default().help);
    }

    /// The series of `key`, which is `new` if it is not there yet.
    fn series(&self, key: &Key, new: Series) -> Series {
        let mut labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        labels.sort_unstable();
        let labels: Vec<_> =
            labels.into_iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let mut metrics = self.metrics();
        let metric = metrics.entry(key.name().into()).or_default();
        metric.series.entry(labels.join(",")).or_insert(new).clone()
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

    /// The end of the name of the series, and its value.
    fn value(&self) -> (&'static str, String) {
        match self {
            Self::Counter(value) => ("", value.load(Ordering::Relaxed).to_string()),
            Self::Gauge(bits) => ("", f64::from_bits(bits.load(Ordering::Relaxed)).to_string()),
            Self::Histogram(count) => ("_count", count.0.load(Ordering::Relaxed).to_string()),
        }
    }
}

impl HistogramFn for Count {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
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
        match self.series(key, Series::Counter(Arc::default())) {
            Series::Counter(value) => Counter::from_arc(value),
            other => panic!("{key} is a {}", other.kind()),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.series(key, Series::Gauge(Arc::default())) {
            Series::Gauge(bits) => Gauge::from_arc(bits),
            other => panic!("{key} is a {}", other.kind()),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.series(key, Series::Histogram(Arc::default())) {
            Series::Histogram(count) => Histogram::from_arc(count),
            other => panic!("{key} is a {}", other.kind()),
        }
    }
}
