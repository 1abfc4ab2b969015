//! The options that select an etcd cluster, and the handle for it.

use std::{collections::BTreeSet, fs, path::PathBuf};

use clap::builder::NonEmptyStringValueParser;
use leasehold::{Etcd, EtcdOptions, Options};

use crate::{
    exec::reexec::PASSWORD,
    exit::{Failure, Outcome, code},
};

/// What a file in PEM has in the line before a certificate or a private key.
const CERTIFICATE: &str = "BEGIN CERTIFICATE";
const KEY: &str = "PRIVATE KEY-----";

/// The etcd cluster, if one is selected.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EtcdArgs {
    /// Use the etcd cluster with these nodes instead of Kubernetes: HOST:PORT, or https://HOST:PORT for TLS. Repeat it, or
    /// separate nodes with commas.
    #[arg(
        id = "etcd",
        long = "etcd",
        env = "LEASEHOLD_ETCD",
        value_name = "NODES",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new()
    )]
    nodes: Vec<String>,
    /// The prefix of all keys in etcd. Default: /leasehold.
    #[arg(
        id = "etcd-prefix",
        long = "etcd-prefix",
        env = "LEASEHOLD_ETCD_PREFIX",
        value_name = "PREFIX",
        requires = "etcd"
    )]
    prefix: Option<String>,
    /// The user of etcd. Its password is in --etcd-password-file, or in the variable `LEASEHOLD_ETCD_PASSWORD`, which CMD
    /// does not get.
    #[arg(
        id = "etcd-user",
        long = "etcd-user",
        env = "LEASEHOLD_ETCD_USER",
        value_name = "NAME",
        requires = "etcd"
    )]
    user: Option<String>,
    /// The file with the password of --etcd-user. A line break at its end does not count.
    #[arg(
        id = "etcd-password-file",
        long = "etcd-password-file",
        env = "LEASEHOLD_ETCD_PASSWORD_FILE",
        value_name = "FILE",
        requires = "etcd-user"
    )]
    password_file: Option<PathBuf>,
    /// The authority of the certificates of etcd, in PEM. Default: the authorities that the system trusts.
    #[arg(
        id = "etcd-ca",
        long = "etcd-ca",
        env = "LEASEHOLD_ETCD_CA",
        value_name = "FILE",
        requires = "etcd"
    )]
    authority: Option<PathBuf>,
    /// The client certificate for etcd, in PEM.
    #[arg(
        id = "etcd-cert",
        long = "etcd-cert",
        env = "LEASEHOLD_ETCD_CERT",
        value_name = "FILE",
        requires = "etcd",
        requires = "etcd-key"
    )]
    certificate: Option<PathBuf>,
    /// The key of the client certificate for etcd, in PEM.
    #[arg(
        id = "etcd-key",
        long = "etcd-key",
        env = "LEASEHOLD_ETCD_KEY",
        value_name = "FILE",
        requires = "etcd-cert"
    )]
    key: Option<PathBuf>,
}

impl EtcdArgs {
    /// Whether etcd is selected.
    pub(crate) const fn is_selected(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Whether there are certificates, so that all nodes use TLS.
    pub(crate) const fn has_certificates(&self) -> bool {
        self.authority.is_some() || self.certificate.is_some()
    }

    /// The nodes, as a line names them.
    pub(crate) fn nodes(&self) -> String {
        self.nodes.join(", ")
    }

    /// A text that is the same for all processes which use the same keys of the same nodes.
    pub(crate) fn place(&self) -> String {
        let address = |node: &'_ String| node.split("://").last().unwrap_or_default().to_owned();
        let nodes: BTreeSet<_> = self.nodes.iter().map(address).collect();
        let nodes: Vec<_> = nodes.into_iter().collect();
        let prefix = self.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
        format!("etcd {}{prefix}", nodes.join(","))
    }

    /// A handle, without a request to etcd. `failure` turns an error of the library into one line.
    pub(crate) async fn connect(
        &self,
        options: Options,
        failure: impl Fn(&leasehold::Error) -> Failure,
    ) -> Outcome<Etcd> {
        self.refuse_credentials()?;
        let options = self.handle_options(options);
        let etcd = self.options()?;
        tracing::debug!(
            nodes = self.nodes(),
            prefix = self.prefix.as_deref().unwrap_or("/leasehold"),
            user = self.user.as_deref().unwrap_or("none"),
            certificate = self.certificate.is_some(),
            "using etcd"
        );
        Etcd::connect_with(etcd, options).await.map_err(|error| failure(&error))
    }

    /// Refuses a URL with a user and a password. They would have no effect, and be in messages and in the environment of
    /// the command.
    fn refuse_credentials(&self) -> Outcome<()> {
        let with_user = self.nodes.iter().find_map(|node| node.rsplit_once('@'));
        let Some((_, address)) = with_user else { return Ok(()) };
        let line = format!(
            "the node `{address}` has a user or a password in its URL, which have no effect there. Pass --etcd-user and \
                LEASEHOLD_ETCD_PASSWORD instead"
        );
        Err(Failure::new(code::USAGE, line))
    }

    /// `options` with the nodes and the prefix.
    pub(crate) fn handle_options(&self, options: Options) -> Options {
        let options = options.nodes(&self.nodes);
        match &self.prefix {
            Some(prefix) => options.prefix(prefix),
            None => options,
        }
    }

    /// The user and the certificates. The library reads files again when they were replaced. What is no regular file, such
    /// as a pipe of the shell, can be read only once.
    pub(crate) fn options(&self) -> Outcome<EtcdOptions> {
        let mut etcd = EtcdOptions::default();
        if let Some(user) = &self.user {
            etcd = match &self.password_file {
                Some(path) => {
                    let text = text("--etcd-password-file", path)?;
                    if path.is_file() {
                        etcd.user_with_file(user, path)
                    } else {
                        etcd.user(user, text.trim_end_matches(['\r', '\n']))
                    }
                }
                None => etcd.user(user, password()?),
            };
        }
        if let Some(path) = &self.authority {
            let text = pem("--etcd-ca", path, CERTIFICATE)?;
            etcd = if path.is_file() { etcd.authority_file(path) } else { etcd.authority(text) };
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let texts =
                [pem("--etcd-cert", certificate, CERTIFICATE)?, pem("--etcd-key", key, KEY)?];
            etcd = if certificate.is_file() && key.is_file() {
                etcd.certificate_files(certificate, key)
            } else {
                let [certificate, key] = texts;
                etcd.certificate(certificate, key)
            };
        }
        Ok(etcd)
    }
}

fn password() -> Outcome<String> {
    std::env::var(PASSWORD).ok().filter(|password| !password.is_empty()).ok_or_else(|| {
        let line =
            format!("--etcd-user needs a password: set {PASSWORD}, or pass --etcd-password-file");
        Failure::new(code::USAGE, line)
    })
}

/// The content of the file that `option` names.
fn text(option: &str, path: &PathBuf) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| {
        let line = format!(
            "{option}: `{}` cannot be read: {error}. Check the path and its permissions",
            path.display()
        );
        Failure::new(code::UNAVAILABLE, line)
    })
}

/// The content of the file in PEM that `option` names, which must have `part`.
fn pem(option: &str, path: &PathBuf, part: &str) -> Outcome<String> {
    let text = text(option, path)?;
    if text.contains(part) {
        return Ok(text);
    }
    let line = format!(
        "{option}: `{}` has no line with `{part}`: pass a file in the format PEM",
        path.display()
    );
    Err(Failure::new(code::UNAVAILABLE, line))
}
