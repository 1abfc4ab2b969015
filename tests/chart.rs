//! The chart, as helm renders it. `make chart` brings helm and runs these.

#[path = "chart/access.rs"]
mod access;
#[path = "chart/around.rs"]
mod around;
#[path = "chart/hardened.rs"]
mod hardened;
#[path = "chart/modes.rs"]
mod modes;
#[path = "chart/refused.rs"]
mod refused;

use leasehold_test_support::helm::{CHART, helm};
use serde_json::Value;

const SIDECAR: [&str; 2] = ["mode=sidecar", "appImage=shop:1"];
const WRAPPER: [&str; 3] = ["mode=wrapper", "appImage=shop:1", "appCommand={/shop,--all}"];
/// Every mode, with the least that it needs.
const MODES: [&[&str]; 3] = [&[], &SIDECAR, &WRAPPER];

/// What `helm template demo` makes of the chart.
struct Rendered(Vec<Value>);

impl Rendered {
    #[track_caller]
    fn of(values: &[&str]) -> Self {
        Self::named("demo", values)
    }

    #[track_caller]
    fn named(release: &str, values: &[&str]) -> Self {
        let text = template(release, values).unwrap_or_else(|refused| panic!("{refused}"));
        let documents = text.split("\n---\n").filter(|document| document.contains("kind:"));
        Self(documents.map(|yaml| serde_saphyr::from_str(yaml).expect("YAML")).collect())
    }

    fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    #[track_caller]
    fn one(&self, kind: &str) -> &Value {
        let [one] = self.all(kind)[..] else { panic!("one {kind} of {:?}", self.0) };
        one
    }

    #[track_caller]
    fn named_one(&self, kind: &str, name: &str) -> &Value {
        let all = self.all(kind);
        let one = all.iter().find(|object| object["metadata"]["name"] == name);
        one.unwrap_or_else(|| panic!("a {kind} {name} in {all:?}"))
    }

    /// What the pods are made of.
    #[track_caller]
    fn pod(&self) -> &Value {
        &self.one("StatefulSet")["spec"]["template"]["spec"]
    }

    #[track_caller]
    fn container(&self, name: &str) -> &Value {
        let found = containers(self.pod()).into_iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("a container {name} in {}", self.pod()))
    }
}

fn template(release: &str, values: &[&str]) -> Result<String, String> {
    let sets = values.iter().flat_map(|value| ["--set", value]);
    helm(["template", release, CHART, "--namespace", "shop"].into_iter().chain(sets))
}

/// Those that run before, beside and as the pod's own.
fn containers(pod: &Value) -> Vec<&Value> {
    let of = |list: &str| pod[list].as_array().into_iter().flatten().collect::<Vec<_>>();
    [of("initContainers"), of("containers")].concat()
}

/// The values of a list, as words.
fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
