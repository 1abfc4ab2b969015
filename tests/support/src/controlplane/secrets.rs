//! The keys, certificates and tokens of one control plane.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use uuid::Uuid;

use super::files::{Directory, write};

/// The user with all permissions.
pub const ADMIN: &str = "admin";

/// The users that have no permission until a test grants some.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "narrow"];

/// New for each control plane, and unchanged by its restarts.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) accounts: PathBuf,
    pub(super) accounts_key: PathBuf,
    pub(super) token_file: PathBuf,
    pub(super) ca_pem: String,
    pub(super) tokens: BTreeMap<String, String>,
}

impl Secrets {
    pub(super) fn new(directory: &Directory) -> Self {
        let file = |name: &str, text: &str| write(&directory.path().join(name), text);
        let (ca_pem, certificate, key) = certificates().expect("certificates");
        let accounts = KeyPair::generate().expect("a key");
        let users = [ADMIN].into_iter().chain(USERS);
        let tokens = users.map(|user| (user.to_owned(), Uuid::new_v4().to_string())).collect();
        Self {
            ca: file("ca.crt", &ca_pem),
            certificate: file("server.crt", &certificate),
            key: file("server.key", &key),
            accounts: file("service-accounts.pub", &accounts.public_key_pem()),
            accounts_key: file("service-accounts.key", &accounts.serialize_pem()),
            token_file: file("tokens.csv", &token_file(&tokens)),
            ca_pem,
            tokens,
        }
    }
}

/// The certificate of the authority, the certificate of the server, and its key, in PEM.
fn certificates() -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "leasehold tests");
    let issuer = Issuer::new(authority.clone(), KeyPair::generate()?);
    let ca = authority.self_signed(issuer.key())?;

    let mut server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok((ca.pem(), certificate.pem(), key.serialize_pem()))
}

/// Lines of token, name, uid and groups.
fn token_file(tokens: &BTreeMap<String, String>) -> String {
    let lines = tokens.iter().map(|(user, token)| {
        let groups = if user == ADMIN { ",system:masters" } else { "" };
        format!("{token},{user},{user}{groups}\n")
    });
    lines.collect()
}
