//! The options that select a cluster and a namespace.

use std::path::PathBuf;

/// The cluster and the namespace.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The namespace. Default: the namespace of the kubeconfig's context, or of the pod.
    #[arg(short, long, env = "LEASEHOLD_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// The kubeconfig. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account.
    #[arg(long, env = "LEASEHOLD_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long, env = "LEASEHOLD_CONTEXT")]
    pub(crate) context: Option<String>,
}
