//! The protocol of a credential plugin: `client.authentication.k8s.io`, v1 and v1beta1.

use std::{collections::HashMap, fmt, time::Duration};

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::BACKEND,
    Failure,
    credential::{Fetched, Identity, bearer},
    process::{self, Run},
};
use crate::{
    api::error::{Error, Result},
    util::environment::wall_clock,
};

/// The versions of the protocol. They differ in the default of `interactiveMode` only.
const VERSIONS: [&str; 2] =
    ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
/// The bounds of the time before the end of a credential at which the next one is fetched.
const LEAD: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(300)];
/// The shortest time from one fetch to the next. A plugin may deliver the same credential until its end.
const MIN_AGE: Duration = Duration::from_secs(1);

/// A plugin, as a kubeconfig configures it.
pub(in super::super) struct Plugin {
    exec: ExecConfig,
    command: String,
    version: String,
}

/// What a plugin prints.
#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
}

impl Plugin {
    pub(super) fn new(exec: ExecConfig) -> Result<Self> {
        let unusable = |reason: String| Error::Config {
            backend: BACKEND,
            reason: format!("the credential plugin of the kubeconfig: {reason}"),
            source: None,
        };
        let command = exec.command.clone().filter(|command| !command.is_empty());
        let command = command.ok_or_else(|| unusable("it has no `command`".into()))?;
        let version = exec.api_version.clone().unwrap_or_default();
        if !VERSIONS.contains(&&*version) {
            let versions = VERSIONS.join(" and ");
            return Err(unusable(format!(
                "its apiVersion is {version:?}, but {versions} are supported. Update the entry `exec` of the user"
            )));
        }
        Ok(Self { exec, command, version })
    }

    /// Runs the plugin once.
    pub(super) async fn fetch(&self) -> Result<Fetched, Failure> {
        let failure = |reason: String| Failure::new(format_args!("{self} {reason}"));
        let terminal = process::has_terminal();
        let interactive = self.interactive(terminal).map_err(failure)?;
        let text = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
        let output = process::run(Run {
            command: &self.command,
            args: text(&self.exec.args),
            env: self.env(interactive),
            without: text(&self.exec.drop_env),
            interactive,
            leads: !terminal,
        });
        let output = output.await.map_err(|reason| {
            let hint = self.exec.install_hint.as_deref().map(str::trim).unwrap_or_default();
            let dot = if hint.is_empty() { "" } else { ". " };
            failure(format!("{reason}{dot}{hint}"))
        })?;
        Self::parse(&output).map_err(|reason| failure(reason.into()))
    }

    /// Whether the plugin gets the terminal.
    fn interactive(&self, terminal: bool) -> Result<bool, String> {
        match &self.exec.interactive_mode {
            Some(ExecInteractiveMode::Never) => Ok(false),
            Some(ExecInteractiveMode::IfAvailable) | None => Ok(terminal),
            Some(ExecInteractiveMode::Always) if terminal => Ok(true),
            Some(ExecInteractiveMode::Always) => {
                Err("needs a terminal (interactiveMode: Always), and standard input is none, or \
                     another process has it"
                    .into())
            }
        }
    }

    fn env(&self, interactive: bool) -> Vec<(String, String)> {
        let pair = |entry: &HashMap<String, String>| {
            Some((entry.get("name")?.clone(), entry.get("value")?.clone()))
        };
        let mut env: Vec<_> = self.exec.env.iter().flatten().filter_map(pair).collect();
        let mut spec = json!({ "interactive": interactive });
        if let (true, Some(cluster)) = (self.exec.provide_cluster_info, &self.exec.cluster) {
            spec["cluster"] = json!(cluster);
        }
        let info = json!({ "kind": "ExecCredential", "apiVersion": self.version, "spec": spec });
        env.push(("KUBERNETES_EXEC_INFO".into(), info.to_string()));
        env
    }

    /// No error quotes the output, because it may contain a secret.
    fn parse(output: &[u8]) -> Result<Fetched, &'static str> {
        let no_credential = "has printed no ExecCredential";
        // The output of some plugins is YAML, which client-go accepts.
        let credential: ExecCredential = serde_json::from_slice(output)
            .or_else(|_| serde_saphyr::from_slice(output).map_err(|_| no_credential))?;
        let status = credential.status.ok_or("has printed an ExecCredential without a status")?;
        let token = status.token.filter(|token| !token.trim().is_empty());
        let token = token
            .map(|token| bearer(&token).ok_or("has delivered a token that no header can contain"))
            .transpose()?;
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        let identity =
            match (present(status.client_certificate_data), present(status.client_key_data)) {
                (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
                (None, None) => None,
                _ => {
                    return Err("has delivered a client certificate without a key, or the reverse");
                }
            };
        if token.is_none() && identity.is_none() {
            return Err("has delivered neither a token nor a client certificate");
        }
        let end = present(status.expiration_timestamp)
            .map(|end| {
                end.parse::<Timestamp>()
                    .map_err(|_| "has delivered a malformed expirationTimestamp")
            })
            .transpose()?;
        Ok(Fetched { token, identity, next_in: end.map(|end| next_in(remaining(end))) })
    }
}

/// The time until `end`, by the wall clock. The end is a time of the plugin's, so no other clock will do. A wrong clock
/// costs a fetch too early, or a request that the server refuses.
fn remaining(end: Timestamp) -> Duration {
    let now = Timestamp::try_from(wall_clock()).unwrap_or(Timestamp::MIN);
    end.duration_since(now).try_into().unwrap_or_default()
}

/// When to fetch the next credential, if this one ends after `remaining`: a fifth of that time earlier, within bounds.
fn next_in(remaining: Duration) -> Duration {
    let lead = (remaining / 5).clamp(LEAD[0], LEAD[1]).min(remaining / 2);
    remaining.saturating_sub(lead).max(MIN_AGE)
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the credential plugin `{}`", self.command)
    }
}

/// Arguments and variables may be secret.
impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("command", &self.command).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
