//! The values of the chart: what they are, and that the chart says the same.
//!
//! `LEASEHOLD_WRITE_SCHEMA=1 cargo test -p leasehold-cli --bin leasehold chart` writes `values.schema.json` anew.

#![expect(dead_code, reason = "only ever described, as a schema")]
#![expect(clippy::doc_markdown, reason = "descriptions in a schema, where there is no Markdown")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use clap::CommandFactory as _;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::args::{Args, ReportArgs, TenureArgs};

/// What Kubernetes checks better than this could.
type Object = Map<String, Value>;
type Labels = BTreeMap<String, String>;

/// Values of the chart leasehold.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "switches of a chart")]
struct Values {
    /// What runs: leasehold alone, beside your container, or around your container's command.
    mode: Mode,
    /// How many pods stand for election.
    #[schemars(range(max = 100))]
    replicas: u32,
    /// Where leasehold's own image is, without a tag.
    #[schemars(length(min = 1))]
    image: String,
    /// Its tag. Empty: the chart's appVersion.
    image_tag: String,
    /// When leasehold's image is pulled.
    image_pull_policy: PullPolicy,
    /// Names of the secrets to pull images with.
    image_pull_secrets: Vec<String>,
    /// The name of all objects. Empty: the release's, with the chart's behind it where that is not in it.
    #[schemars(regex(pattern = r"^([a-z]([-a-z0-9]{0,50}[a-z0-9])?)?$"))]
    fullname_override: String,

    /// The election's name, which is the name of its Lease. Empty: the name of all objects.
    #[schemars(length(max = 253), regex(pattern = r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$"))]
    election: String,
    #[schemars(flatten)]
    tenure: TenureArgs,
    #[schemars(flatten)]
    report: ReportArgs,
    /// Writes a Kubernetes Event with each change of the leader.
    events: bool,
    /// Puts the label leasehold.dev/leader on the leader's pod, for the Service to select it by.
    label_leader: bool,
    /// Serves a page for people, with a button that makes the leader resign. null: in mode demo only.
    page: Option<bool>,
    /// Gives each candidate a record. null: in mode demo only.
    list_members: Option<bool>,

    /// Your image, with its tag.
    app_image: String,
    /// When it is pulled.
    app_image_pull_policy: PullPolicy,
    /// The command, each word an entry.
    app_command: Vec<String>,
    /// The command's arguments.
    app_args: Vec<String>,
    /// Environment variables, as in a container.
    app_env: Vec<Object>,
    /// The port it serves on. 0: the Service leads to leasehold's own port.
    #[schemars(range(max = 65535))]
    app_port: u32,
    /// Its resources.
    app_resources: Object,
    /// Its readiness probe, mode sidecar.
    app_readiness_probe: Object,
    /// Its liveness probe, mode sidecar.
    app_liveness_probe: Object,
    /// What differs from the hardened security context.
    app_security_context: Object,
    /// Its volume mounts.
    app_volume_mounts: Vec<Object>,
    /// Mounts the service account's token for it, mode sidecar.
    app_token: bool,

    /// The port of the Service that leads to the leader.
    #[schemars(range(min = 1, max = 65535))]
    service_port: u32,
    /// The port that leasehold answers on; above those that need a privilege.
    #[schemars(range(min = 1024, max = 65535))]
    serve_port: u32,

    /// leasehold's own resources.
    resources: Object,
    /// How long a pod has to end, in seconds: with less than 5 leasehold may not hand the lead on in time.
    #[schemars(range(min = 5))]
    termination_grace_period_seconds: u32,
    /// Over what the pods are spread, as far as that is possible.
    topology_spread_keys: Vec<String>,
    /// Lets a drain evict one pod at a time.
    pod_disruption_budget: bool,
    /// Additional labels of the pods.
    pod_labels: Labels,
    /// Annotations of the pods.
    pod_annotations: Labels,
    /// Which nodes.
    node_selector: Labels,
    /// Which taints are tolerated.
    tolerations: Vec<Object>,
    /// Affinities.
    affinity: Object,
    /// The pods' priority class.
    priority_class_name: String,
    /// Additional volumes, as in a pod.
    volumes: Vec<Object>,

    /// The service account. Empty: one is made.
    service_account_name: String,
    /// Annotations of the service account that is made.
    service_account_annotations: Labels,
    /// Makes the Role and its binding.
    rbac: bool,

    /// Makes a ServiceMonitor for the Prometheus operator.
    service_monitor: bool,
    /// How often metrics are read, as Prometheus writes durations.
    #[schemars(regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    service_monitor_interval: String,
    /// Labels by which the Prometheus finds it.
    service_monitor_labels: Labels,
    /// Makes a NetworkPolicy.
    network_policy: bool,
    /// Who may reach the pods. Empty: everybody.
    network_policy_from: Vec<Object>,
    /// The ports on which the API server is reached.
    network_policy_api_server_ports: Vec<u16>,

    /// What Helm hands to a chart that is part of another.
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

/// Options of `elect` that are no values, and why.
const LEFT_OUT: [(&str, &str); 8] = [
    ("LEASEHOLD_NAMESPACE", "the pod's own"),
    ("LEASEHOLD_KUBECONFIG", "a pod has a service account"),
    ("LEASEHOLD_CONTEXT", "a pod has a service account"),
    ("LEASEHOLD_POD", "POD_NAME says it"),
    ("LEASEHOLD_LABEL_KEY", "the Service selects by the key that it has by default"),
    ("LEASEHOLD_ID", "must be another one in each life of each pod"),
    ("LEASEHOLD_ONCE", "a pod whose container ended is started again"),
    ("LEASEHOLD_QUIET", "a pod's log is where one looks when something is wrong"),
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
fn the_schema_of_the_chart_is_that_of_the_values() {
    let wanted = format!("{:#}\n", schema());
    if std::env::var_os("LEASEHOLD_WRITE_SCHEMA").is_some() {
        fs::write(chart("values.schema.json"), &wanted).expect("written");
    }
    assert!(
        read("values.schema.json") == wanted,
        "charts/leasehold/values.schema.json is not what the program's options and chart.rs say: `make chart-schema` writes it anew"
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
fn every_option_of_elect_can_be_set_or_is_left_out_for_a_reason() {
    let templates = read("templates/_helpers.tpl");
    let command = Args::command();
    let elect = command.find_subcommand("elect").expect("a command elect");
    for argument in elect.get_arguments() {
        let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else { continue };
        let set = templates.contains(&format!("name: {variable}\n"));
        let left_out = LEFT_OUT.iter().any(|(name, _)| *name == variable);
        assert!(set != left_out, "{variable}: a value of the chart, or left out for a reason?");
    }
}
