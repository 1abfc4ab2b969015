//! Shared by the examples: the choice of the backend, from the command line.

use leasehold::{DynSync, Memory, Options};

/// The options of every example.
const USAGE: &str = "options: [--kubernetes | --etcd NODE] [--namespace NAMESPACE]

  --kubernetes            on the cluster of the kubeconfig, instead of in memory
  --etcd NODE             on etcd, for example 127.0.0.1:2379; may be repeated
  --namespace NAMESPACE   where the records are; default: that of the kubeconfig's context";

/// Where the locks and elections are kept.
pub(crate) enum Backend {
    /// In this process.
    Memory(Memory),
    /// On the cluster of the kubeconfig.
    Kubernetes(Options),
    /// On the nodes of etcd in the options.
    Etcd(Options),
}

impl Backend {
    /// Reads the command line. Exits with 2 if there is an unknown option.
    pub(crate) fn from_args() -> leasehold::Result<Self> {
        let (mut kubernetes, mut nodes, mut options) = (false, Vec::new(), Options::default());
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--kubernetes" => kubernetes = true,
                "--etcd" => nodes.push(args.next().unwrap_or_default()),
                "--namespace" => options = options.namespace(args.next().unwrap_or_default()),
                _ => {
                    eprintln!("{USAGE}");
                    std::process::exit(2);
                }
            }
        }
        if kubernetes {
            Ok(Self::Kubernetes(options))
        } else if nodes.is_empty() {
            Memory::new(options).map(Self::Memory)
        } else {
            Ok(Self::Etcd(options.nodes(nodes)))
        }
    }

    /// One more handle with an identity of its own, as another process would have it.
    pub(crate) async fn handle(&self) -> leasehold::Result<Box<DynSync>> {
        match self {
            Self::Memory(memory) => Ok(Box::new(memory.another(Options::default())?)),
            Self::Kubernetes(options) => kubernetes(options.clone()).await,
            Self::Etcd(options) => etcd(options.clone()).await,
        }
    }
}

#[cfg(feature = "kubernetes")]
async fn kubernetes(options: Options) -> leasehold::Result<Box<DynSync>> {
    Ok(Box::new(leasehold::Kubernetes::connect(options).await?))
}

#[cfg(not(feature = "kubernetes"))]
#[expect(clippy::unused_async, reason = "has the signature of the function that connects")]
async fn kubernetes(_: Options) -> leasehold::Result<Box<DynSync>> {
    Err(missing("kubernetes"))
}

#[cfg(feature = "etcd")]
async fn etcd(options: Options) -> leasehold::Result<Box<DynSync>> {
    Ok(Box::new(leasehold::Etcd::connect(options).await?))
}

#[cfg(not(feature = "etcd"))]
#[expect(clippy::unused_async, reason = "has the signature of the function that connects")]
async fn etcd(_: Options) -> leasehold::Result<Box<DynSync>> {
    Err(missing("etcd"))
}

#[cfg(not(all(feature = "etcd", feature = "kubernetes")))]
fn missing(feature: &'static str) -> leasehold::Error {
    leasehold::Error::Config {
        backend: feature,
        reason: format!("this program was built without the feature `{feature}`"),
        source: None,
    }
}
