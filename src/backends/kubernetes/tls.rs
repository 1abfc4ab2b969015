//! The encryption of a connection, and which certificates are trusted.

use std::{error::Error as StdError, fmt::Write as _, sync::Arc};

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use kube::{Config, client::ConfigExt as _};
use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::configuration::configuration_error;
use crate::api::error::{Error, Result};

/// Encrypts the connections of `inner` to `https` URLs.
pub(super) fn connector<T>(config: &Config, inner: T) -> Result<HttpsConnector<T>> {
    let mut tls = config.rustls_client_config().map_err(unusable)?;
    // With a file for the authorities, which is that of a pod, kube's verifier reads the file again when it changes.
    if let (Some(roots), None, false) =
        (&config.root_cert, &config.root_cert_file, config.accept_invalid_certs)
        && !roots.is_empty()
    {
        tls.dangerous().set_certificate_verifier(Arc::new(Pinned::new(roots)?));
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

/// Verifies as rustls does. It also accepts a server whose own certificate is in the list of authorities although it is
/// the certificate of an authority (`CA:TRUE`), as `openssl req -x509` makes it. Go programs accept that too.
#[derive(Debug)]
struct Pinned {
    inner: Arc<WebPkiServerVerifier>,
    roots: Vec<Vec<u8>>,
}

impl Pinned {
    fn new(roots: &[Vec<u8>]) -> Result<Self> {
        let broken = |error: rustls::Error| {
            configuration_error(format!("a certificate authority cannot be used: {error}"), error)
        };
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(CertificateDer::from(root.clone())).map_err(broken)?;
        }
        let inner = WebPkiServerVerifier::builder(Arc::new(store)).build();
        let inner = inner.map_err(|error| {
            configuration_error(format!("the certificate authorities: {error}"), error)
        })?;
        Ok(Self { inner, roots: roots.to_vec() })
    }
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

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match verified {
            Err(error)
                if is_authority(&error) && self.roots.iter().any(|root| **root == **end_entity) =>
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
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
