//! Where credentials come from.

use std::{path::PathBuf, time::Duration};

use kube::{
    Config,
    config::{AuthInfo, ExecAuthCluster},
};

use super::{
    Failure,
    credential::{Fetched, bearer},
    plugin::Plugin,
};
use crate::api::error::Result;

/// How often a token file is read, while there are requests. The kubelet rotates it long before it expires.
const FILE_AGE: Duration = Duration::from_secs(10);

/// Where credentials come from. Those of all other kinds stay with kube.
#[derive(Debug)]
pub(in super::super) enum Source {
    Plugin(Box<Plugin>),
    TokenFile(PathBuf),
}

impl Source {
    /// Takes the source out of `config`, so that kube does not use it. The precedence is that of kube: every other kind
    /// of credential precedes a token file, and that precedes a plugin. A client certificate of the kubeconfig is not
    /// a contradiction to a token.
    pub(in super::super) fn take(config: &mut Config) -> Result<Option<Self>> {
        let auth = &mut config.auth_info;
        let with_password = auth.username.is_some() && auth.password.is_some();
        if auth.auth_provider.is_some() || with_password || auth.token.is_some() {
            return Ok(None);
        }
        if let Some(path) = auth.token_file.take() {
            return Ok(Some(Self::TokenFile(path.into())));
        }
        let Some(mut exec) = auth.exec.take() else { return Ok(None) };
        if exec.provide_cluster_info && exec.cluster.is_none() {
            let server = config.cluster_url.to_string();
            exec.cluster = Some(ExecAuthCluster { server: Some(server), ..Default::default() });
        }
        Ok(Some(Self::Plugin(Box::new(Plugin::new(exec)?))))
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
            Self::TokenFile(path) => {
                let token = std::fs::read_to_string(path)
                    .map_err(|error| Failure::new(format_args!("{self}: {error}")))?;
                let token = bearer(&token)
                    .ok_or_else(|| Failure::new(format_args!("{self} contains no token")))?;
                Ok(Fetched { token: Some(token), identity: None, next_in: Some(FILE_AGE) })
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plugin(plugin) => plugin.fmt(f),
            Self::TokenFile(path) => write!(f, "the token file {}", path.display()),
        }
    }
}
