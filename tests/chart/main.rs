//! The chart as helm renders it. `make chart` gets helm and runs these tests.

mod access;
mod around;
mod hardened;
mod modes;
mod refused;

use leasehold_test_support::helm::{CHART, helm};
use serde_json::Value;

const SIDECAR: [&str; 2] = ["mode=sidecar", "appImage=shop:1"];
const WRAPPER: [&str; 3] = ["mode=wrapper", "appImage=shop:1", "appCommand={/shop,--all}"];
/// Every mode, with only its required values.
const MODES: [&[&str]; 3] = [&[], &SIDECAR, &WRAPPER];

/// The objects that `helm template demo` renders.
struct Rendered(Vec<Value>);

impl Rendered {
    #[track_caller]
    fn of(values: &[&str]) -> Self {
        Self::named("demo", values)
    }

    #[track_caller]
    fn named(release: &str, values: &[&str]) -> Self {
        let text = template(release, values).unwrap_or_else(|error| panic!("{error}"));
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

    /// The spec of the pods.
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

/// All containers of a pod, including init containers.
fn containers(pod: &Value) -> Vec<&Value> {
    let of = |list: &str| pod[list].as_array().into_iter().flatten().collect::<Vec<_>>();
    [of("initContainers"), of("containers")].concat()
}

/// The strings of a list.
fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
