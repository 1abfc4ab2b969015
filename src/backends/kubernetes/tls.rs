//! The encryption of a connection, and which certificates are trusted.

use std::{
    error::Error as StdError,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use kube::{Config, client::ConfigExt as _};
use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{self, PemObject as _},
    },
    server::ParsedCertificate,
};

use super::configuration::configuration_error;
use crate::{
    api::error::{Error, Result},
    util::mutex::lock,
};

/// Encrypts the connections of `inner` to `https` URLs.
pub(super) fn connector<T>(config: &Config, inner: T) -> Result<HttpsConnector<T>> {
    let mut kube = config.clone();
    if kube.root_cert_file.take().is_some() {
        // Otherwise kube reads the file here, and fails while it is being replaced.
        kube.root_cert.get_or_insert_default();
    }
    let mut tls = kube.rustls_client_config().map_err(unusable)?;
    let is_default =
        config.root_cert.as_ref().is_none_or(Vec::is_empty) && config.root_cert_file.is_none();
    if !is_default && !config.accept_invalid_certs {
        tls.dangerous().set_certificate_verifier(Arc::new(Authorities::new(config)?));
    }
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(|error| {
            configuration_error(format!("tls-server-name is `{name}`: {error}"), error)
        })?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_http1().wrap_connector(inner))
}

/// The error of a certificate or a key that cannot be used, with the way to replace it.
pub(super) fn unusable(error: kube::Error) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    let next = if text.contains("UnsupportedCertVersion") {
        "The client certificate has X.509 version 1. Reissue it as version 3, with an extension: `openssl x509 -req` \
         makes one with `-extfile`, for example with the line extendedKeyUsage=clientAuth"
    } else if text.contains("failed to parse private key") {
        "The client key must be RSA, ECDSA on the curve P-256 or P-384, or Ed25519. Reissue a key on the curve P-521"
    } else {
        "Check the certificates in the kubeconfig"
    };
    configuration_error(format!("no client can be built from it: {error}. {next}"), error)
}

/// Verifies as rustls does, with two differences.
///
/// It also accepts a server whose own certificate is in the list of authorities although it is the certificate of an
/// authority (`CA:TRUE`), as `openssl req -x509` makes it. Go programs accept that too.
///
/// A file of authorities is read at each handshake, so that a server whose authority was replaced is trusted at once.
/// kube's verifier reads it once in a minute. A lock would be lost meanwhile.
#[derive(Debug)]
struct Authorities {
    file: Option<PathBuf>,
    trusted: Mutex<Arc<Trusted>>,
    /// The file could not be used when it was read last.
    broken: AtomicBool,
}

#[derive(Debug)]
struct Trusted {
    roots: Vec<Vec<u8>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Trusted {
    fn new(roots: Vec<Vec<u8>>) -> Result<Arc<Self>> {
        let broken = |error: rustls::Error| {
            configuration_error(format!("a certificate authority cannot be used: {error}"), error)
        };
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(CertificateDer::from(root.clone())).map_err(broken)?;
        }
        let verifier = WebPkiServerVerifier::builder(Arc::new(store)).build();
        let verifier = verifier.map_err(|error| {
            configuration_error(format!("the certificate authorities: {error}"), error)
        })?;
        Ok(Arc::new(Self { roots, verifier }))
    }
}

impl Authorities {
    fn new(config: &Config) -> Result<Self> {
        let file = config.root_cert_file.clone();
        let roots = match (&config.root_cert, &file) {
            (Some(roots), _) if !roots.is_empty() => roots.clone(),
            (_, Some(file)) => read(file).map_err(|error| {
                let reason = format!(
                    "the certificate authorities in {} cannot be read: {error}. Check the path and its permissions",
                    file.display()
                );
                configuration_error(reason, error)
            })?,
            _ => Vec::new(),
        };
        let trusted = Mutex::new(Trusted::new(roots)?);
        Ok(Self { file, trusted, broken: AtomicBool::new(false) })
    }

    /// Those in the file. If it cannot be used, as while it is being replaced, the last ones stay.
    fn present(&self) -> Arc<Trusted> {
        let mut trusted = lock(&self.trusted);
        let Some(file) = &self.file else { return Arc::clone(&trusted) };
        let new = match read(file) {
            Ok(roots) if roots == trusted.roots => Ok(Arc::clone(&trusted)),
            Ok(roots) => Trusted::new(roots).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let was_broken = self.broken.swap(new.is_err(), Ordering::Relaxed);
        match new {
            Ok(new) => *trusted = new,
            Err(error) if !was_broken => {
                tracing::warn!("the certificate authorities in {}: {error}", file.display());
            }
            Err(_) => {}
        }
        Arc::clone(&trusted)
    }

    fn verifier(&self) -> Arc<WebPkiServerVerifier> {
        Arc::clone(&lock(&self.trusted).verifier)
    }
}

/// The certificates in a file in PEM.
fn read(file: &Path) -> Result<Vec<Vec<u8>>, pem::Error> {
    CertificateDer::pem_file_iter(file)?.map(|root| root.map(|root| root.to_vec())).collect()
}

/// Whether the only fault of a certificate is that it is that of an authority. rustls checks the time before.
fn is_authority(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.to_string().contains("CaUsedAsEndEntity")
        }
        _ => false,
    }
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let trusted = self.present();
        let verified =
            trusted.verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match verified {
            Err(error)
                if is_authority(&error)
                    && trusted.roots.iter().any(|root| **root == **end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use leasehold_test_support::authority;

    use super::*;

    /// The name `localhost` and the certificate that the server shows.
    fn verify(authorities: &Authorities, pem: &str) -> bool {
        let name = ServerName::try_from("localhost").unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        authorities.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn a_file_of_authorities_is_read_at_each_handshake_and_ignored_while_it_is_unusable() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        let [first, second] = [0; 2].map(|_| authority("localhost").0);
        fs::write(&file, &first).unwrap();
        let mut config = Config::new("https://localhost".parse().unwrap());
        config.root_cert_file = Some(file.clone());
        let authorities = Authorities::new(&config).unwrap();
        assert!(verify(&authorities, &first) && !verify(&authorities, &second));

        for unusable in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(&file, unusable).unwrap();
            assert!(verify(&authorities, &first), "{unusable:?}");
        }
        fs::write(&file, &second).unwrap();
        assert!(verify(&authorities, &second), "at once");
        assert!(!verify(&authorities, &first), "the first one is no longer trusted");
        fs::remove_file(&file).unwrap();
        assert!(verify(&authorities, &second));
    }
}
