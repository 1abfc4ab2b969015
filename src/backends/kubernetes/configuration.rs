//! Decides which cluster is meant, and loads its configuration.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Uri;
use kube::{
    Config,
    config::{Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use serde_json::Value;

use super::{BACKEND, credentials::Source, proxy, url};
use crate::api::error::{Error, Result};

/// The variable with the list of kubeconfig files.
const VARIABLE: &str = "KUBECONFIG";
/// Kubernetes sets this variable in every container.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// Selects a cluster, as the options of `kubectl` do.
///
/// The first of these that is there is the configuration, and its errors are errors. Nothing falls back to the next
/// one, because a lock on another cluster than the one that is meant protects nothing.
///
/// 1. [`kubeconfig`](Self::kubeconfig)
/// 2. the variable `KUBECONFIG`, unless it is empty: a list of files, of which missing ones are skipped, but not all
/// 3. `~/.kube/config`
/// 4. the service account of the pod that this process runs in
///
/// `kubectl` goes on to the service account also if all files of `KUBECONFIG` are missing or empty. Here this is an
/// error.
///
/// # Examples
///
/// ```no_run
/// use leasehold::{ClusterOptions, Kubernetes, Options};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> leasehold::Result<()> {
/// let config = ClusterOptions::default().context("staging").load().await?;
/// let sync = Kubernetes::from_config(config, Options::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

impl ClusterOptions {
    /// The kubeconfig file. By default that of the environment, or the service account of the pod.
    #[must_use]
    pub fn kubeconfig(mut self, path: impl Into<PathBuf>) -> Self {
        self.kubeconfig = Some(path.into());
        self
    }

    /// The context of the kubeconfig. By default its current context.
    #[must_use]
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.context = Some(name.into());
        self
    }

    /// Loads the configuration. This sends no request.
    ///
    /// The proxy is that of the kubeconfig, or else the one that `HTTPS_PROXY` and `NO_PROXY` select for this server.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the configuration is missing or wrong, with the next step.
    pub async fn load(&self) -> Result<Config> {
        let surroundings = Surroundings::of_this_process();
        let origin = surroundings.origin(self.kubeconfig.as_deref(), self.context.is_some())?;
        let (mut config, context, proxy) = match &origin {
            Origin::Pod => (pod()?, None, None),
            Origin::Files { paths, .. } => {
                let mut merged = merge(paths).map_err(|error| origin.unreadable(error))?;
                let context = self.context.clone().or_else(|| merged.current_context.clone());
                let cluster = cluster(&merged, context.as_deref());
                let proxy = cluster.and_then(|it| it.proxy_url.clone());
                let authorities = cluster.and_then(authorities_file);
                hide_proxies(&mut merged);
                let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
                let config = Config::from_custom_kubeconfig(merged, &options).await;
                let mut config = config.map_err(|error| origin.unusable(error))?;
                config.root_cert_file = authorities;
                let plugin = config.auth_info.exec.as_mut();
                if let Some(cluster) = plugin.and_then(|plugin| plugin.cluster.as_mut()) {
                    cluster.proxy_url.clone_from(&proxy);
                }
                (config, context, proxy.filter(|url| !url.is_empty()))
            }
        };
        config.default_namespace = match config.default_namespace.trim() {
            "" => "default".into(),
            namespace => namespace.into(),
        };
        url::move_credentials(&mut config);
        let proxy_reason = if proxy.is_some() { "proxy-url" } else { "HTTPS_PROXY" };
        config.proxy_url = match proxy {
            Some(text) => Some(proxy::parse(&text).map_err(|error| origin.unusable(error))?),
            None => proxy_of_environment(&config)?,
        };
        log(&config, &origin, context.as_deref(), proxy_reason);
        Ok(config)
    }
}

/// Logs what is used, without secrets.
fn log(config: &Config, origin: &Origin, context: Option<&str>, proxy_reason: &str) {
    let shown = |url| url::without_credentials(url).to_string().trim_end_matches('/').to_owned();
    let proxy = config.proxy_url.as_ref().map(|url| format!("{} ({proxy_reason})", shown(url)));
    tracing::debug!(
        server = shown(&config.cluster_url),
        context,
        credential = Source::kind(&config.auth_info),
        proxy,
        "uses the cluster of {origin}"
    );
}

/// The configuration that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// Kubeconfig files, at least one, and why these.
    Files { paths: Vec<PathBuf>, reason: &'static str },
    /// The service account of the pod.
    Pod,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { paths, reason } => {
                let paths: Vec<_> =
                    paths.iter().map(|path| format!("`{}`", path.display())).collect();
                write!(f, "the kubeconfig {} ({reason})", paths.join(", "))
            }
            Self::Pod => f.write_str(
                "the pod's service account (KUBECONFIG is not set, and ~/.kube/config does not exist)",
            ),
        }
    }
}

impl Origin {
    /// The error of a file that cannot be read. The lines of a file that cannot be parsed are not shown, because they
    /// may contain a token.
    fn unreadable(&self, error: KubeconfigError) -> Error {
        match (error, self) {
            (KubeconfigError::Parse(error), _) => {
                let reason = format!(
                    "{self} cannot be used: it is not the YAML of a kubeconfig: {}",
                    error.without_snippet()
                );
                Error::Config { backend: BACKEND, reason, source: None }
            }
            // The text of kube shows the path once more, in another notation.
            (KubeconfigError::ReadConfig(error, path), Self::Files { reason, .. }) => {
                let file = Self::Files { paths: vec![path], reason };
                configuration_error(
                    format!("{file} cannot be read: {error}. Check the path and its permissions"),
                    error,
                )
            }
            (error, _) => self.unusable(error),
        }
    }

    fn unusable(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        configuration_error(
            format!("{self} cannot be used: {error}. `kubectl config view` shows what is in it"),
            error,
        )
    }
}

/// What decides, apart from options. An argument of the decision, so that tests can choose it.
#[derive(Debug, Default)]
struct Surroundings {
    variable: Option<OsString>,
    home: Option<PathBuf>,
    in_pod: bool,
}

impl Surroundings {
    fn of_this_process() -> Self {
        Self {
            variable: env::var_os(VARIABLE),
            home: env::home_dir(),
            in_pod: env::var_os(IN_POD).is_some_and(|host| !host.is_empty()),
        }
    }

    fn origin(&self, explicit: Option<&Path>, with_context: bool) -> Result<Origin> {
        if let Some(path) = explicit {
            let paths = vec![path.to_owned()];
            return Ok(Origin::Files { paths, reason: "selected by an option" });
        }
        if let Some(list) = self.variable.as_deref().filter(|list| !list.is_empty()) {
            return listed(list);
        }
        let home = self.home.as_ref().map(|home| home.join(".kube").join("config"));
        if let Some(path) = home.filter(|path| !is_missing(path)) {
            return Ok(Origin::Files { paths: vec![path], reason: "the default" });
        }
        if self.in_pod && !with_context {
            return Ok(Origin::Pod);
        }
        let reason = if with_context {
            "a context was selected, but there is no kubeconfig: KUBECONFIG is not set, and \
             ~/.kube/config does not exist. Set KUBECONFIG to the file that has the context"
        } else {
            "KUBECONFIG is not set, ~/.kube/config does not exist, and this process does not run in \
             a pod. Set KUBECONFIG to a kubeconfig"
        };
        Err(Error::Config { backend: BACKEND, reason: reason.into(), source: None })
    }
}

/// The files of `KUBECONFIG` that exist.
fn listed(list: &OsStr) -> Result<Origin> {
    let paths: Vec<_> =
        env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
    let present: Vec<_> = paths.iter().filter(|path| !is_missing(path)).cloned().collect();
    if !present.is_empty() {
        return Ok(Origin::Files { paths: present, reason: "named by KUBECONFIG" });
    }
    let reason = format!(
        "KUBECONFIG is `{}`, and no such file exists. Correct KUBECONFIG, or unset it to use \
         ~/.kube/config or the pod's service account",
        list.display()
    );
    Err(Error::Config { backend: BACKEND, reason, source: None })
}

/// Whether no file is there. A file that may not be read is there.
fn is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The files as one: the first that sets a value wins.
fn merge(paths: &[PathBuf]) -> Result<Kubeconfig, KubeconfigError> {
    paths.iter().try_fold(Kubeconfig::default(), |merged, path| {
        let mut next = without_empty_values(Kubeconfig::read_from(path)?, path);
        // kubectl writes an empty name if there is no current context. It must not hide that of the next file.
        next.current_context = next.current_context.filter(|name| !name.is_empty());
        merged.merge(next)
    })
}

/// The same without empty values of clusters and users. Some tools write them, and `kubectl` ignores them. kube would
/// send an empty token, for example, instead of running the plugin. `path` is that of the kubeconfig: kube has put its
/// directory before relative paths, also before an empty one.
fn without_empty_values(kubeconfig: Kubeconfig, path: &Path) -> Kubeconfig {
    let directory = path.parent().map(|directory| directory.join("")).unwrap_or_default();
    let directory = directory.to_str().unwrap_or_default();
    let Ok(mut fields) = serde_json::to_value(&kubeconfig) else { return kubeconfig };
    for (list, kind) in [("clusters", "cluster"), ("users", "user")] {
        for entry in fields[list].as_array_mut().into_iter().flatten() {
            if let Some(values) = entry.get_mut(kind).and_then(Value::as_object_mut) {
                values.retain(|_, value| *value != "" && *value != directory);
            }
        }
    }
    serde_json::from_value(fields).unwrap_or(kubeconfig)
}

/// The cluster of the selected context.
fn cluster<'a>(kubeconfig: &'a Kubeconfig, context: Option<&str>) -> Option<&'a Cluster> {
    let context = kubeconfig.contexts.iter().find(|entry| Some(&*entry.name) == context)?;
    let name = &context.context.as_ref()?.cluster;
    kubeconfig.clusters.iter().find(|cluster| cluster.name == *name)?.cluster.as_ref()
}

/// The file of the authorities of `cluster`, which is read again when it was replaced. Data in the kubeconfig precedes it.
fn authorities_file(cluster: &Cluster) -> Option<PathBuf> {
    let file = cluster.certificate_authority.as_ref()?;
    cluster.certificate_authority_data.is_none().then(|| file.into())
}

/// Gives each cluster a proxy that kube can parse. Without one, kube fails if it cannot parse that of the environment,
/// also for a server that needs no proxy. The caller replaces what kube makes of it.
fn hide_proxies(kubeconfig: &mut Kubeconfig) {
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.proxy_url = Some("http://localhost".into());
    }
}

/// The proxy that the environment selects for the server of `config`.
pub(super) fn proxy_of_environment(config: &Config) -> Result<Option<Uri>> {
    proxy::of_environment(&config.cluster_url).map_err(|error| {
        let reason =
            format!("{error}. Correct HTTPS_PROXY, or name the server in NO_PROXY to use no proxy");
        configuration_error(reason, error)
    })
}

fn pod() -> Result<Config> {
    Config::incluster().map_err(|error| {
        configuration_error(
            format!(
                "the pod's service account cannot be used: {error}. Mount its token \
                 (automountServiceAccountToken), or set KUBECONFIG to a kubeconfig"
            ),
            error,
        )
    })
}

pub(super) fn configuration_error(
    reason: String,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Config { backend: BACKEND, reason, source: Some(Arc::new(source)) }
}
