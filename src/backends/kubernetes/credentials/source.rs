//! Where credentials come from.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderValue;
use kube::{
    Config,
    config::{AuthInfo, ExecAuthCluster},
};

use super::{
    Failure,
    credential::{Fetched, Identity, bearer},
    plugin::Plugin,
};
use crate::api::error::Result;

/// How often files are read, while there are requests. They are replaced long before a token or a certificate ends.
const FILE_AGE: Duration = Duration::from_secs(10);

/// Where credentials come from. Those of all other kinds stay with kube.
#[derive(Debug)]
pub(in super::super) enum Source {
    Plugin(Box<Plugin>),
    Files(Files),
}

/// Files that are replaced while the client lives, as the kubelet and cert-manager do. There is at least one.
#[derive(Debug)]
pub(in super::super) struct Files {
    token: Option<PathBuf>,
    /// A client certificate and its key.
    identity: Option<[PathBuf; 2]>,
}

impl Source {
    /// Takes the source out of `config`, so that kube does not use it. The precedence is that of kube: every other kind
    /// of credential precedes a token file, and that precedes a plugin. A client certificate of the kubeconfig is not
    /// a contradiction to a token. Its paths stay, so that the first client is built with it.
    pub(in super::super) fn take(config: &mut Config) -> Result<Option<Self>> {
        let auth = &mut config.auth_info;
        let with_password = auth.username.is_some() && auth.password.is_some();
        let fixed = auth.auth_provider.is_some() || with_password || auth.token.is_some();
        let token = auth.token_file.take_if(|_| !fixed).map(PathBuf::from);
        if !fixed
            && token.is_none()
            && let Some(mut exec) = auth.exec.take()
        {
            if exec.provide_cluster_info && exec.cluster.is_none() {
                let server = config.cluster_url.to_string();
                exec.cluster = Some(ExecAuthCluster { server: Some(server), ..Default::default() });
            }
            return Ok(Some(Self::Plugin(Box::new(Plugin::new(exec)?))));
        }
        let identity = identity_files(auth);
        let some = token.is_some() || identity.is_some();
        Ok(some.then_some(Self::Files(Files { token, identity })))
    }

    /// Which kind of credential requests have, in words. The precedence is that of [`take`](Self::take).
    pub(in super::super) fn kind(auth: &AuthInfo) -> String {
        let certificate =
            auth.client_certificate.is_some() || auth.client_certificate_data.is_some();
        let mut kinds: Vec<String> = Vec::new();
        if certificate {
            kinds.push("a client certificate".into());
        }
        if let Some(provider) = &auth.auth_provider {
            kinds.push(format!("the auth provider `{}`", provider.name));
        } else if auth.username.is_some() && auth.password.is_some() {
            kinds.push("a user and a password".into());
        } else if auth.token.is_some() {
            kinds.push("a token".into());
        } else if let Some(path) = &auth.token_file {
            kinds.push(format!("the token file {path}"));
        } else if let Some(exec) = &auth.exec {
            kinds.push(format!(
                "the credential plugin `{}`",
                exec.command.as_deref().unwrap_or_default()
            ));
        }
        if kinds.is_empty() { "none".into() } else { kinds.join(" and ") }
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, Failure> {
        match self {
            Self::Plugin(plugin) => plugin.fetch().await,
            Self::Files(files) => files.fetch(),
        }
    }
}

/// The files of a client certificate and its key. Data in the kubeconfig precedes a file.
fn identity_files(auth: &AuthInfo) -> Option<[PathBuf; 2]> {
    if auth.client_certificate_data.is_some() || auth.client_key_data.is_some() {
        return None;
    }
    let (certificate, key) = (auth.client_certificate.as_ref()?, auth.client_key.as_ref()?);
    Some([certificate.into(), key.into()])
}

impl Files {
    fn fetch(&self) -> Result<Fetched, Failure> {
        let token = self.token.as_deref().map(token).transpose()?;
        let identity = match &self.identity {
            Some([certificate, key]) => Some(Identity {
                certificate: read(certificate, "the certificate file")?,
                key: read(key, "the key file")?,
            }),
            None => None,
        };
        Ok(Fetched { token, identity, next_in: Some(FILE_AGE) })
    }
}

fn token(path: &Path) -> Result<HeaderValue, Failure> {
    let kind = "the token file";
    let no_token = || Failure::new(format_args!("{kind} {} contains no token", path.display()));
    bearer(&read(path, kind)?).ok_or_else(no_token)
}

fn read(path: &Path, kind: &str) -> Result<String, Failure> {
    // Comments in a file in PEM may be in any encoding.
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| Failure::new(format_args!("{kind} {}: {error}", path.display())))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(plugin) => plugin.fmt(f),
            Self::Files(Files { token, identity }) => {
                let token = token.iter().map(|path| format!("the token file {}", path.display()));
                let identity = identity.iter().map(|[certificate, _]| {
                    format!("the certificate file {}", certificate.display())
                });
                f.write_str(&token.chain(identity).collect::<Vec<_>>().join(" and "))
            }
        }
    }
}
