//! The options that select a cluster and a namespace.

use std::path::PathBuf;

use super::etcd::EtcdArgs;
use crate::exit::{Failure, Outcome, code};

/// The cluster and the namespace.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The namespace. Default: the namespace of the kubeconfig's context, or of the pod; with --etcd `default`.
    #[arg(short, long, env = "LEASEHOLD_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// The kubeconfig. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account.
    #[arg(long, env = "LEASEHOLD_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long, env = "LEASEHOLD_CONTEXT")]
    pub(crate) context: Option<String>,
    #[command(flatten, next_help_heading = "etcd")]
    pub(crate) etcd: EtcdArgs,
}

/// An option, its environment variable, and whether it was given.
pub(crate) type Given<'a> = (&'a str, &'a str, bool);

impl Target {
    /// Refuses options that only Kubernetes has, if etcd is selected.
    pub(crate) fn refuse_with_etcd(&self, options: &[Given<'_>]) -> Outcome<()> {
        let given = options.iter().find(|(.., given)| *given && self.etcd.is_selected());
        let Some((option, variable, _)) = given else { return Ok(()) };
        let line = format!(
            "{option} ({variable}) has no meaning in etcd, which --etcd (LEASEHOLD_ETCD) selects: remove one of them"
        );
        Err(Failure::new(code::USAGE, line))
    }
}
