//! The keys, certificates and tokens of one control plane.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use uuid::Uuid;

use super::files::{Directory, write};

/// The user with all permissions.
pub const ADMIN: &str = "admin";

/// The users that have no permission until a test grants some.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "narrow"];

/// The name under which the server shows a certificate that is signed by itself and marked as that of an authority
/// (`CA:TRUE`), as `openssl req -x509` makes it. Clients send the name that is their `tls-server-name`.
pub const PINNED: &str = "pinned.test";

/// New for each control plane, and unchanged by its restarts.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// The certificate for [`PINNED`], and its key.
    pub(super) pinned: [PathBuf; 2],
    pub(super) accounts: PathBuf,
    pub(super) accounts_key: PathBuf,
    pub(super) token_file: PathBuf,
    pub(super) ca_pem: String,
    pub(super) tokens: BTreeMap<String, String>,
    pub(super) clients: Arc<ClientAuthority>,
    pub(super) client_ca: PathBuf,
}

impl Secrets {
    pub(super) fn new(directory: &Directory) -> Self {
        let file = |name: &str, text: &str| write(&directory.path().join(name), text);
        let (ca_pem, certificate, key) = certificates().expect("certificates");
        let (pinned, pinned_key) = pinned().expect("a certificate");
        let accounts = KeyPair::generate().expect("a key");
        let users = [ADMIN].into_iter().chain(USERS);
        let tokens = users.map(|user| (user.to_owned(), Uuid::new_v4().to_string())).collect();
        let clients = ClientAuthority::new().expect("certificates");
        Self {
            client_ca: file("client-ca.crt", &clients.pem),
            clients: Arc::new(clients),
            ca: file("ca.crt", &ca_pem),
            certificate: file("server.crt", &certificate),
            key: file("server.key", &key),
            pinned: [file("pinned.crt", &pinned), file("pinned.key", &pinned_key)],
            accounts: file("service-accounts.pub", &accounts.public_key_pem()),
            accounts_key: file("service-accounts.key", &accounts.serialize_pem()),
            token_file: file("tokens.csv", &token_file(&tokens)),
            ca_pem,
            tokens,
        }
    }
}

/// The authority for certificates of users.
#[derive(Debug)]
pub(super) struct ClientAuthority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl ClientAuthority {
    fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "leasehold test users");
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { params, key, pem })
    }

    /// A certificate of an admin that ends after `valid`, and its key, in PEM.
    #[expect(clippy::disallowed_methods, reason = "the server compares it with its wall clock")]
    pub(super) fn admin(&self, valid: Duration) -> Result<(String, String), rcgen::Error> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let mut params = CertificateParams::new([])?;
        params.distinguished_name.push(DnType::CommonName, ADMIN);
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        params.not_after = date_time_ymd(1970, 1, 1) + (now.unwrap_or_default() + valid);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
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

/// The certificate for [`PINNED`] and its key, in PEM.
fn pinned() -> Result<(String, String), rcgen::Error> {
    authority_of(PINNED)
}

/// The certificate of a new authority for this host name, and its key, in PEM.
///
/// # Panics
///
/// If `name` is no host name.
pub fn authority(name: &str) -> (String, String) {
    authority_of(name).expect("a certificate")
}

fn authority_of(name: &str) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Lines of token, name, uid and groups.
fn token_file(tokens: &BTreeMap<String, String>) -> String {
    let lines = tokens.iter().map(|(user, token)| {
        let groups = if user == ADMIN { ",system:masters" } else { "" };
        format!("{token},{user},{user}{groups}\n")
    });
    lines.collect()
}
