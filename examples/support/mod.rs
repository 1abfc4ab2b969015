//! Shared by the examples: the choice of the backend, from the command line.

use leasehold::{DynSync, Memory, Options};

/// The options of every example.
const USAGE: &str = "options: [--kubernetes] [--namespace NAMESPACE]

  --kubernetes            on the cluster of the kubeconfig, instead of in memory
  --namespace NAMESPACE   where the Leases are; default: that of the kubeconfig's context";

/// Where the locks and elections are kept.
pub(crate) enum Backend {
    /// In this process.
    Memory(Memory),
    /// On the cluster of the kubeconfig.
    Kubernetes(Options),
}

impl Backend {
    /// Reads the command line. Exits with 2 if there is an unknown option.
    pub(crate) fn from_args() -> leasehold::Result<Self> {
        let (mut kubernetes, mut options) = (false, Options::default());
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--kubernetes" => kubernetes = true,
                "--namespace" => options = options.namespace(args.next().unwrap_or_default()),
                _ => {
                    eprintln!("{USAGE}");
                    std::process::exit(2);
                }
            }
        }
        if kubernetes {
            Ok(Self::Kubernetes(options))
        } else {
            Memory::new(options).map(Self::Memory)
        }
    }

    /// One more handle with an identity of its own, as another process would have it.
    pub(crate) async fn handle(&self) -> leasehold::Result<Box<DynSync>> {
        match self {
            Self::Memory(memory) => Ok(Box::new(memory.another(Options::default())?)),
            Self::Kubernetes(options) => connect(options.clone()).await,
        }
    }
}

#[cfg(feature = "kubernetes")]
async fn connect(options: Options) -> leasehold::Result<Box<DynSync>> {
    Ok(Box::new(leasehold::Kubernetes::connect(options).await?))
}

#[cfg(not(feature = "kubernetes"))]
#[expect(clippy::unused_async, reason = "has the signature of the function that connects")]
async fn connect(_: Options) -> leasehold::Result<Box<DynSync>> {
    Err(leasehold::Error::Config {
        backend: "kubernetes",
        reason: "this program was built without the feature `kubernetes`".into(),
        source: None,
    })
}
