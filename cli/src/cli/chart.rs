//! The values of the Helm chart, as types. Tests check that the chart has the same values.
//!
//! `LEASEHOLD_WRITE_SCHEMA=1 cargo test -p leasehold-cli --bin leasehold chart` writes `values.schema.json`.

#![expect(dead_code, reason = "used for its schema only")]
#![expect(
    clippy::doc_markdown,
    reason = "the comments become descriptions of a schema, which has no Markdown"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use clap::CommandFactory as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::{args::Args, report_args::ReportArgs, tenure_args::TenureArgs};

/// A Kubernetes object, which the API server checks.
type Object = Map<String, Value>;
type Labels = BTreeMap<String, String>;

/// Values of the chart leasehold.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "switches of a chart")]
struct Values {
    /// What runs: leasehold alone, leasehold next to your container, or leasehold around the command of your container.
    mode: Mode,
    /// Number of pods. Each is a candidate.
    #[schemars(range(max = 100))]
    replicas: u32,
    /// Image of leasehold, without a tag.
    #[schemars(regex(pattern = r"^\S+$"))]
    image: String,
    /// Tag of the image. Defaults to the chart's appVersion.
    #[schemars(regex(pattern = r"^\S*$"))]
    image_tag: String,
    /// Pull policy of leasehold's image.
    image_pull_policy: PullPolicy,
    /// Names of the Secrets for pulling images.
    #[schemars(inner(length(min = 1, max = 253), regex(pattern = OBJECT_NAME)))]
    image_pull_secrets: Vec<String>,
    /// Name of all objects. Defaults to `<release>-<chart>`, or `<release>` if that already contains the chart's name.
    #[schemars(regex(pattern = r"^([a-z]([-a-z0-9]{0,50}[a-z0-9])?)?$"))]
    fullname_override: String,

    /// Name of the election and of its Lease. Defaults to the name of all objects.
    // Another name is not the name of its Lease, which the Role lists.
    #[schemars(length(max = 253), regex(pattern = OBJECT_NAME))]
    election: String,
    /// Elects the candidates in the order in which they came. Allows the pods to read and write all Leases of the
    /// namespace.
    queue: bool,
    /// With queue: the namespace of the Leases of sessions, which must exist. Empty: the namespace of the release.
    #[schemars(length(max = 63), regex(pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"))]
    session_namespace: String,
    #[schemars(flatten)]
    tenure: TenureArgs,
    #[schemars(flatten)]
    report: ReportArgs,
    /// Labels of the election's Lease and of the candidates' Leases, set when they are created.
    #[schemars(schema_with = "lease_labels")]
    lease_labels: Labels,
    /// Annotations of the election's Lease and of the candidates' Leases, set when they are created.
    #[schemars(schema_with = "lease_annotations")]
    lease_annotations: Labels,
    /// Writes a Kubernetes Event for each change of the leader.
    events: bool,
    /// Sets the label leasehold.dev/leader on the leader's pod, so that the Service can select it.
    label_leader: bool,
    /// Serves a web page with a button that makes the leader resign. null: in mode demo only.
    page: Option<bool>,
    /// Names under which the page may be used, besides IP addresses, localhost and the names of the chart's Services.
    #[schemars(inner(regex(pattern = r"^\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")))]
    allow_hosts: Vec<String>,
    /// Gives each candidate a record, so that members can be listed. null: in mode demo only.
    list_members: Option<bool>,

    /// Your image, with its tag.
    #[schemars(regex(pattern = r"^\S*$"))]
    app_image: String,
    /// Pull policy of your image.
    app_image_pull_policy: PullPolicy,
    /// Command of your container, one entry per word.
    app_command: Vec<String>,
    /// Arguments of the command.
    app_args: Vec<String>,
    /// Environment variables of your container.
    app_env: Vec<Object>,
    /// Port of your container. The Service forwards to it. 0: the Service forwards to leasehold's port.
    #[schemars(range(max = 65535))]
    app_port: u32,
    /// Resources of your container.
    app_resources: Object,
    /// Readiness probe of your container, in mode sidecar.
    app_readiness_probe: Object,
    /// Liveness probe of your container, in mode sidecar.
    app_liveness_probe: Object,
    /// Fields that override the restricted security context of your container.
    app_security_context: Object,
    /// Volume mounts of your container.
    app_volume_mounts: Vec<Object>,
    /// Mounts the service account's token into your container, in mode sidecar.
    app_token: bool,

    /// Port of the Service that selects the leader.
    #[schemars(range(min = 1, max = 65535))]
    service_port: u32,
    /// Port of leasehold in each pod. Ports below 1024 would need a privilege.
    #[schemars(range(min = 1024, max = 65535))]
    serve_port: u32,

    /// Resources of leasehold.
    resources: Object,
    /// Time for a pod to end, in seconds. With less than 5, leasehold may not release the lead in time.
    #[schemars(range(min = 5))]
    termination_grace_period_seconds: u32,
    /// Topology keys over which the pods are spread, if possible.
    topology_spread_keys: BTreeSet<String>,
    /// Makes a PodDisruptionBudget that lets a drain evict one pod at a time.
    pod_disruption_budget: bool,
    /// Additional labels of the pods.
    #[schemars(schema_with = "pod_labels")]
    pod_labels: Labels,
    /// Annotations of the pods.
    pod_annotations: Labels,
    /// Node selector of the pods.
    node_selector: Labels,
    /// Tolerations of the pods.
    tolerations: Vec<Object>,
    /// Affinity rules of the pods.
    affinity: Object,
    /// Priority class of the pods.
    #[schemars(length(max = 253), regex(pattern = OBJECT_NAME))]
    priority_class_name: String,
    /// Additional volumes of the pods.
    volumes: Vec<Object>,

    /// Name of an existing service account. Empty: the chart makes one.
    #[schemars(length(max = 253), regex(pattern = OBJECT_NAME))]
    service_account_name: String,
    /// Annotations of the service account that the chart makes.
    service_account_annotations: Labels,
    /// Makes the Role and its binding.
    rbac: bool,
    /// Makes a FlowSchema for requests for Leases. Needs a permission in the whole cluster.
    flow_schema: bool,

    /// Makes a ServiceMonitor for the Prometheus operator.
    service_monitor: bool,
    /// Scrape interval, in the format of Prometheus.
    #[schemars(length(min = 1), regex(pattern = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"))]
    service_monitor_interval: String,
    /// Labels by which Prometheus selects the ServiceMonitor.
    service_monitor_labels: Labels,
    /// Makes a NetworkPolicy.
    network_policy: bool,
    /// Peers that may reach the pods, as in a NetworkPolicy's `from`. Empty: all peers.
    network_policy_from: Vec<Object>,
    /// Ports of the API server. A NetworkPolicy without a port would allow all.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65535)))]
    network_policy_api_server_ports: Vec<u16>,

    /// Values that Helm passes to a subchart.
    global: Option<Object>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Mode {
    Demo,
    Sidecar,
    Wrapper,
}

#[derive(JsonSchema)]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// The name in a key, and a label value that is not empty.
const QUALIFIED: &str = "[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
/// The name of an object, or empty.
const OBJECT_NAME: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$";

/// Labels that the program accepts.
fn lease_labels(_: &mut SchemaGenerator) -> Schema {
    keyed(&label_value())
}

/// Labels that neither select the pods of the release nor say that a pod leads.
fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    let mut schema = keyed(&label_value());
    let keys = schema.get_mut("patternProperties").expect("a map of keys");
    keys[r"^app\.kubernetes\.io/(name|instance)$"] = json!(false);
    schema
}

fn label_value() -> Value {
    json!({ "type": "string", "pattern": format!("^({QUALIFIED})?$") })
}

/// Annotations that the program accepts.
fn lease_annotations(_: &mut SchemaGenerator) -> Schema {
    keyed(&json!({ "type": "string" }))
}

/// A map whose keys are those of labels, but not those that the program writes itself.
fn keyed(value: &Value) -> Schema {
    let key = format!("^({SUBDOMAIN}/)?{QUALIFIED}$");
    json_schema!({
        "type": "object",
        "patternProperties": { "^leasehold\\.dev/": false, key: value },
        "additionalProperties": false,
    })
}

const NO_ETCD: &str = "a pod is in a cluster with Leases";

/// Options of `elect` that are not values of the chart, with the reason.
const LEFT_OUT: [(&str, &str); 17] = [
    ("LEASEHOLD_NAMESPACE", "the namespace of the pod"),
    ("LEASEHOLD_KUBECONFIG", "a pod has a service account"),
    ("LEASEHOLD_CONTEXT", "a pod has a service account"),
    ("LEASEHOLD_ETCD", NO_ETCD),
    ("LEASEHOLD_ETCD_PREFIX", NO_ETCD),
    ("LEASEHOLD_ETCD_USER", NO_ETCD),
    ("LEASEHOLD_ETCD_PASSWORD_FILE", NO_ETCD),
    ("LEASEHOLD_ETCD_CA", NO_ETCD),
    ("LEASEHOLD_ETCD_CERT", NO_ETCD),
    ("LEASEHOLD_ETCD_KEY", NO_ETCD),
    ("LEASEHOLD_POD", "POD_NAME has it"),
    ("LEASEHOLD_LABEL_KEY", "the Service selects by the default key"),
    ("LEASEHOLD_ID", "each start of each pod needs a new id"),
    ("LEASEHOLD_PAYLOAD", "the pods are listed by their names"),
    ("LEASEHOLD_ONCE", "a container that has ended is restarted"),
    ("LEASEHOLD_WAIT_FOR_SERVER", "a restart of the pod would not bring the API server"),
    ("LEASEHOLD_QUIET", "the log of the pod must show errors"),
];

fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Values>();
    schema.insert("additionalProperties".into(), json!(false));
    schema.to_value()
}

fn chart(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../charts/leasehold", file].iter().collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(chart(file)).expect("a file of the chart")
}

#[test]
fn the_schema_of_the_chart_is_generated_from_the_values() {
    let wanted = format!("{:#}\n", schema());
    if std::env::var_os("LEASEHOLD_WRITE_SCHEMA").is_some() {
        fs::write(chart("values.schema.json"), &wanted).expect("written");
    }
    assert!(
        read("values.schema.json") == wanted,
        "charts/leasehold/values.schema.json is outdated: `make chart-schema` generates it again"
    );
}

#[test]
fn every_value_is_in_the_schema_has_a_default_and_a_comment() {
    let schema = schema();
    let known = schema["properties"].as_object().expect("properties");
    let text = read("values.yaml");
    let mut defaults = Vec::new();
    let mut before = "";
    for line in text.lines() {
        let key = line.split(':').next().unwrap_or_default();
        if !line.starts_with(['#', ' ']) && !line.is_empty() {
            assert!(before.starts_with("# "), "{key} has no comment");
            assert!(known.contains_key(key), "{key} is not in the schema");
            defaults.push(key);
        }
        before = line;
    }
    for key in known.keys().filter(|key| *key != "global") {
        assert!(defaults.contains(&key.as_str()), "{key} has no default in values.yaml");
    }
}

#[test]
fn every_variable_that_the_chart_sets_is_refused_in_the_environment_of_the_app() {
    let (templates, checks) = (read("templates/_helpers.tpl"), read("templates/_checks.tpl"));
    let (_, variables) = checks.split_once("define \"leasehold.variables\"").expect("a list");
    let listed: BTreeSet<_> = variables.split([' ', '"', '\n']).collect();
    for variable in templates.lines().filter_map(|line| line.strip_prefix("- name: ")) {
        let is_variable = variable.starts_with("LEASEHOLD_") || variable.starts_with("POD_");
        assert!(!is_variable || listed.contains(variable), "{variable} is not in the list");
    }
}

#[test]
fn every_option_of_elect_is_a_value_or_is_left_out_for_a_reason() {
    let templates = read("templates/_helpers.tpl");
    let command = Args::command();
    let elect = command.find_subcommand("elect").expect("a command elect");
    for argument in elect.get_arguments() {
        let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else { continue };
        let set = templates.contains(&format!("name: {variable}\n"));
        let left_out = LEFT_OUT.iter().any(|(name, _)| *name == variable);
        assert!(
            set != left_out,
            "{variable} must be a value of the chart, or be left out for a reason"
        );
    }
}
