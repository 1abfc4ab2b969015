//! Configurations of the users of a control plane.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::ByteString;
use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::json;

use super::secrets::{ADMIN, Secrets};

/// The configuration of the admin, and how to derive those of other users.
#[derive(Debug)]
pub(super) struct Access {
    kubeconfig: Kubeconfig,
    config: Config,
    users: Users,
}

#[derive(Debug)]
enum Users {
    /// Every user has a token: a control plane of the tests.
    Tokens(BTreeMap<String, String>),
    /// The admin impersonates other users: any other cluster.
    Impersonated,
}

impl Access {
    pub(super) async fn own(secrets: &Secrets, port: u16) -> Self {
        let ca = ByteString(secrets.ca_pem.clone().into_bytes());
        let kubeconfig = serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{ "name": "tests", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority-data": ca,
            } }],
            "users": [{ "name": "tests", "user": { "token": secrets.tokens[ADMIN] } }],
            "contexts": [{ "name": "tests", "context": { "cluster": "tests", "user": "tests" } }],
        }));
        let users = Users::Tokens(secrets.tokens.clone());
        Self::new(kubeconfig.expect("a kubeconfig"), users).await
    }

    pub(super) async fn given(path: &Path) -> Self {
        let kubeconfig = Kubeconfig::read_from(path);
        Self::new(kubeconfig.expect("LEASEHOLD_TEST_KUBECONFIG"), Users::Impersonated).await
    }

    async fn new(kubeconfig: Kubeconfig, users: Users) -> Self {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await;
        let mut config = config.expect("a kubeconfig with a current context");
        config.default_retry = false;
        Self { kubeconfig, config, users }
    }

    pub(super) fn config(&self, user: &str) -> Config {
        let mut config = self.config.clone();
        self.become_user(user, &mut config.auth_info);
        config
    }

    /// The text of a kubeconfig file, in JSON, which is valid YAML.
    pub(super) fn kubeconfig(&self, user: &str) -> String {
        let mut kubeconfig = self.kubeconfig.clone();
        let current = kubeconfig.current_context.as_deref().unwrap_or_default();
        let context = kubeconfig.contexts.iter().find(|context| context.name == current);
        let context = context.and_then(|context| context.context.as_ref());
        let name = context.and_then(|context| context.user.clone()).unwrap_or_default();
        for entry in kubeconfig.auth_infos.iter_mut().filter(|entry| entry.name == name) {
            self.become_user(user, entry.auth_info.get_or_insert_default());
        }
        serde_json::to_string_pretty(&kubeconfig).expect("a kubeconfig in JSON")
    }

    fn become_user(&self, user: &str, auth: &mut AuthInfo) {
        match &self.users {
            Users::Tokens(tokens) => {
                let known = || tokens.keys().cloned().collect::<Vec<_>>().join(", ");
                let token = tokens.get(user).unwrap_or_else(|| panic!("no {user} in {}", known()));
                *auth = serde_json::from_value(json!({ "token": token })).expect("a token");
            }
            Users::Impersonated if user == ADMIN => {}
            Users::Impersonated => auth.impersonate = Some(user.to_owned()),
        }
    }
}
