//! The programs etcd and kube-apiserver.

use std::env::var_os;
use std::path::{Path, PathBuf};

use crate::ROOT;

/// Where the control plane comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// A running cluster, by its kubeconfig.
    Cluster(PathBuf),
    /// Programs to start.
    Programs(Programs),
}

/// The first words of both commands.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) etcd: Vec<String>,
    pub(super) apiserver: Vec<String>,
}

impl Origin {
    pub(super) fn from_env() -> Self {
        let path = |name| var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(kubeconfig) = path("LEASEHOLD_TEST_KUBECONFIG") {
            return Self::Cluster(kubeconfig);
        }
        if let Some(assets) = path("KUBEBUILDER_ASSETS") {
            let program = |name| vec![existing(&assets.join(name), "KUBEBUILDER_ASSETS names it")];
            let (etcd, apiserver) = (program("etcd"), program("kube-apiserver"));
            return Self::Programs(Programs { etcd, apiserver });
        }
        // Cargo resolves a relative CARGO_TARGET_DIR in the directory where it was started: usually the root.
        let root = Path::new(ROOT);
        let candidates = path("CARGO_TARGET_DIR").into_iter().chain(["target".into()]);
        let built = candidates.map(|target| root.join(target).join("controlplane/controlplane"));
        let built: Vec<_> = built.collect();
        let found = built.iter().find(|path| path.exists()).unwrap_or(&built[0]);
        let program = existing(found, "build it with `make` or tests/controlplane/build.sh");
        Self::Programs(Programs {
            etcd: vec![program.clone(), "etcd".into()],
            apiserver: vec![program, "kube-apiserver".into()],
        })
    }
}

fn existing(program: &Path, advice: &str) -> String {
    assert!(program.is_file(), "no control plane at {}: {advice}", program.display());
    program.to_str().expect("a path in UTF-8").to_owned()
}
