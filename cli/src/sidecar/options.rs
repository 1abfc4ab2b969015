//! The options of the sidecar.

use clap::builder::BoolishValueParser;

use super::{
    http::Address,
    page::{HostName, Peer},
    pod_label::LabelKey,
};
use crate::cluster::target::Given;

/// What runs besides the candidate: a server, a label and Events.
#[derive(Debug, clap::Args)]
pub(crate) struct SidecarArgs {
    /// Serve the leader and the status of this candidate over HTTP on this address, for example 127.0.0.1:8080, or
    /// :8080 for all addresses.
    #[arg(long, env = "LEASEHOLD_SERVE", value_name = "ADDR")]
    pub(crate) serve: Option<Address>,
    /// Also serve a web page at /, with a button that makes the leader resign: for demonstrations. Only with --serve.
    #[arg(long, env = "LEASEHOLD_PAGE", value_parser = BoolishValueParser::new())]
    pub(crate) page: bool,
    /// URL of the leader's sidecar, for example a Service that selects the leader. A follower's page forwards resign
    /// requests there. Only with --page.
    #[arg(long, env = "LEASEHOLD_LEADER_URL", value_name = "URL")]
    pub(crate) leader_url: Option<Peer>,
    /// A name under which browsers and other programs may use the page of this server, besides IP addresses,
    /// localhost and the name in --leader-url: billing.example.com, or .example.com for all names below it. Repeat it,
    /// or separate names with commas. Only with --page.
    #[arg(long, env = "LEASEHOLD_ALLOW_HOST", value_name = "NAME", value_delimiter = ',')]
    pub(crate) allow_host: Vec<HostName>,
    /// Label this pod leasehold.dev/leader=true while it leads, so that a Service can select it.
    #[arg(long, env = "LEASEHOLD_LABEL_LEADER", value_parser = BoolishValueParser::new())]
    pub(crate) label_leader: bool,
    /// The key of the label. A pod that is a candidate in several elections needs one key for each. Only with
    /// --label-leader.
    #[arg(
        long,
        env = "LEASEHOLD_LABEL_KEY",
        value_name = "KEY",
        default_value = "leasehold.dev/leader"
    )]
    pub(crate) label_key: LabelKey,
    /// Record a Kubernetes Event when the lead is won or lost, about this pod if its name is known, otherwise about
    /// the Lease.
    #[arg(long, env = "LEASEHOLD_EVENTS", value_parser = BoolishValueParser::new())]
    pub(crate) events: bool,
    /// The name of this pod, in `POD_NAMESPACE` or in the namespace of the context. Default: `POD_NAME` from the
    /// downward API. Only with --label-leader or --events.
    #[arg(long, env = "LEASEHOLD_POD", value_name = "NAME")]
    pub(crate) pod: Option<String>,
}

impl SidecarArgs {
    /// The options that only Kubernetes has.
    pub(crate) const fn for_kubernetes_only(&self) -> [Given<'static>; 3] {
        [
            ("--events", "LEASEHOLD_EVENTS", self.events),
            ("--label-leader", "LEASEHOLD_LABEL_LEADER", self.label_leader),
            ("--pod", "LEASEHOLD_POD", self.pod.is_some()),
        ]
    }
}
