//! What goes with a candidacy.

use clap::builder::BoolishValueParser;

use super::{http::Address, page::Peer, pod_label::LabelKey};

/// What goes with a candidacy.
#[derive(Debug, clap::Args)]
pub(crate) struct SidecarArgs {
    /// Answer over HTTP on this address who leads, for example 127.0.0.1:8080, or :8080 for every address.
    #[arg(long, env = "LEASEHOLD_SERVE", value_name = "ADDR")]
    pub(crate) serve: Option<Address>,
    /// Serve a page for people as well, at /, with a button that makes the leader resign: for demonstrations.
    #[arg(long, env = "LEASEHOLD_PAGE", requires = "serve", value_parser = BoolishValueParser::new())]
    pub(crate) page: bool,
    /// Where the leader's own server answers, such as a Service of its own: the page of another passes on there what its button asks for.
    #[arg(long, env = "LEASEHOLD_LEADER_URL", value_name = "URL")]
    pub(crate) leader_url: Option<Peer>,
    /// Label the own pod while it leads, for a Service to select: leasehold.dev/leader=true.
    #[arg(long, env = "LEASEHOLD_LABEL_LEADER", value_parser = BoolishValueParser::new())]
    pub(crate) label_leader: bool,
    /// The label's key; one for each election that a pod stands in.
    #[arg(
        long,
        env = "LEASEHOLD_LABEL_KEY",
        value_name = "KEY",
        default_value = "leasehold.dev/leader"
    )]
    pub(crate) label_key: LabelKey,
    /// Record Kubernetes Events on gain and loss of the lead, about the own pod where it is known, else about the Lease.
    #[arg(long, env = "LEASEHOLD_EVENTS", value_parser = BoolishValueParser::new())]
    pub(crate) events: bool,
    /// The own pod, in `POD_NAMESPACE` or else in this context's namespace. Default: `POD_NAME`, by the downward API.
    #[arg(long, env = "LEASEHOLD_POD", value_name = "NAME")]
    pub(crate) pod: Option<String>,
}
