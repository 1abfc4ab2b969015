//! What a credential consists of, and how a request gets it.

use std::time::Duration;

use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use k8s_openapi::ByteString;
use kube::{Client, client::Body, config::AuthInfo};

use crate::util::clock::Moment;

/// What a source delivers.
pub(super) struct Fetched {
    pub(super) token: Option<HeaderValue>,
    pub(super) identity: Option<Identity>,
    /// When the next one should be fetched. `None`: when the server refuses this one.
    pub(super) next_in: Option<Duration>,
}

/// A client certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// What requests use at present.
pub(super) struct Credential {
    /// How many were fetched up to this one.
    pub(super) number: u64,
    pub(super) renew_at: Moment,
    pub(super) token: Option<HeaderValue>,
    pub(super) identity: Option<Identity>,
    pub(super) client: Client,
}

/// The header for `token`, without white space around it. `None` if it is empty or no header can contain it.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let token = token.trim();
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    (!token.is_empty()).then_some(header)
}

impl Identity {
    pub(super) fn set(self, auth: &mut AuthInfo) {
        auth.client_certificate_data = Some(base64(self.certificate));
        auth.client_key_data = Some(base64(self.key).into());
    }
}

/// A kubeconfig contains PEM in base64.
fn base64(pem: String) -> String {
    match serde_json::to_value(ByteString(pem.into_bytes())) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

impl Credential {
    pub(super) async fn send(&self, mut request: Request<Body>) -> kube::Result<Response<Body>> {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        self.client.send(request).await
    }
}
