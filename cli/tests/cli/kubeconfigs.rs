//! Kubeconfigs in the shape in which the tools of providers write them. Only the server, its authority and the
//! credentials are those of the test.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response, header::HOST};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use leasehold_test_support::{ADMIN, PINNED};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{Fixture, program::Ended};

/// A kubeconfig, and a directory of `PATH` with a credential plugin.
struct Provider {
    fixture: Fixture,
    directory: TempDir,
    kubeconfig: String,
}

impl Provider {
    async fn new(kubeconfig: &str) -> Self {
        let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
        let config = fixture.plane.config(ADMIN);
        let authorities: Vec<_> = config.root_cert.unwrap_or_default();
        let pem = authorities.iter().map(|der| pem(der)).collect::<String>();
        let kubeconfig = kubeconfig
            .replace("@CA@", &STANDARD.encode(pem))
            .replace("@SERVER@", &fixture.plane.url())
            .replace("@TOKEN@", &fixture.token())
            .replace("@BIN@", directory.path().to_str().unwrap());
        Self { fixture, directory, kubeconfig }
    }

    fn set(&mut self, placeholder: &str, value: &str) {
        self.kubeconfig = self.kubeconfig.replace(placeholder, value);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap().trim_end().to_owned()
    }

    /// Puts a plugin into `PATH`. It prints `status`, and writes its arguments and variables into files.
    fn plugin(&self, name: &str, status: &Value) {
        let answer = json!({
            "apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "spec": {},
            "status": status,
        });
        let script = format!(
            "#!/bin/sh\ncd '{}'\necho \"$*\" > args\necho \"$AWS_PROFILE\" > profile\n\
             echo \"$KUBERNETES_EXEC_INFO\" > info\ncat answer\n",
            self.directory.path().display()
        );
        fs::write(self.path("answer"), answer.to_string()).unwrap();
        fs::write(self.path(name), script).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// The status of a plugin that delivers the token of the admin.
    fn token(&self) -> Value {
        json!({ "expirationTimestamp": "2100-01-01T00:00:00Z", "token": self.fixture.token() })
    }

    async fn lock(&self, args: &[&str]) -> Ended {
        fs::write(self.path("config"), &self.kubeconfig).unwrap();
        let path = std::env::var("PATH").unwrap();
        let args = ["lock", "-v"].iter().chain(args).chain(&["orders", "true"]).copied();
        self.fixture
            .leasehold_of(&self.path("config"), args)
            .env("PATH", format!("{}:{path}", self.directory.path().display()))
            .env("AWS_PROFILE", "of the shell")
            .end()
            .await
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

#[track_caller]
fn assert_works(ended: &Ended, context: &str, credential: &str) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for part in [format!("context=\"{context}\""), format!("credential=\"{credential}\"")] {
        assert!(ended.stderr.contains(&part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn eks() {
    let provider = Provider::new(include_str!("kubeconfigs/eks.yaml")).await;
    provider.plugin("aws", &provider.token());

    let ended = provider.lock(&[]).await;

    let name = "arn:aws:eks:eu-west-1:123456789012:cluster/prod";
    assert_works(&ended, name, "the credential plugin `aws`");
    let args = "--region eu-west-1 eks get-token --cluster-name prod --output json";
    assert_eq!((&*provider.read("args"), &*provider.read("profile")), (args, "production"));
}

#[tokio::test]
async fn gke() {
    let provider = Provider::new(include_str!("kubeconfigs/gke.yaml")).await;
    let plugin = "gke-gcloud-auth-plugin";

    let missing = provider.lock(&[]).await;
    provider.plugin(plugin, &provider.token());
    let ended = provider.lock(&[]).await;

    assert_eq!(missing.code, Some(69), "{}", missing.stderr);
    assert!(missing.stderr.contains("#install_plugin"), "{}", missing.stderr);
    assert_works(
        &ended,
        "gke_shop_europe-west1_prod",
        &format!("the credential plugin `{plugin}`"),
    );
    let info: Value = serde_json::from_str(&provider.read("info")).unwrap();
    let kubeconfig: Value = serde_json::to_value(
        kube::config::Kubeconfig::from_yaml(&provider.kubeconfig).unwrap().clusters[0]
            .cluster
            .clone(),
    )
    .unwrap();
    let expected = json!({
        "apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential",
        "spec": { "interactive": false, "cluster": {
            "server": provider.fixture.plane.url(),
            "certificate-authority-data": kubeconfig["certificate-authority-data"],
        } },
    });
    assert_eq!(info, expected);
}

#[tokio::test]
async fn aks() {
    let mut provider = Provider::new(include_str!("kubeconfigs/aks.yaml")).await;
    if !provider.fixture.plane.own() {
        return;
    }
    let (certificate, key) = provider.fixture.plane.admin_certificate(Duration::from_secs(600));
    provider.set("@CERTIFICATE@", &STANDARD.encode(certificate));
    provider.set("@KEY@", &STANDARD.encode(key));
    provider.plugin("kubelogin", &provider.token());

    let user = provider.lock(&[]).await;
    let admin = provider.lock(&["--context", "prod-admin"]).await;

    assert_works(&user, "prod", "the credential plugin `kubelogin`");
    assert!(provider.read("args").starts_with("get-token --environment AzurePublicCloud"));
    assert_works(&admin, "prod-admin", "a client certificate and a token");
}

#[tokio::test]
async fn openshift() {
    let provider = Provider::new(include_str!("kubeconfigs/openshift.yaml")).await;
    let name = "default/api-shop-example-com:6443/kube:admin";

    assert_works(&provider.lock(&[]).await, name, "a token");
    assert_works(&provider.lock(&["--context", name]).await, name, "a token");
}

#[tokio::test]
async fn teleport() {
    let mut provider = Provider::new(include_str!("kubeconfigs/teleport.yaml")).await;
    if !provider.fixture.plane.own() {
        return;
    }
    provider.set("@NAME@", "localhost");
    let (certificate, key) = provider.fixture.plane.admin_certificate(Duration::from_secs(600));
    let status = json!({ "clientCertificateData": certificate, "clientKeyData": key });
    provider.plugin("tsh", &status);

    let ended = provider.lock(&[]).await;

    let command = provider.path("tsh").display().to_string();
    let credential = format!("the credential plugin `{command}`");
    assert_works(&ended, "teleport.example.com-prod", &credential);
    provider.set("tls-server-name: localhost", "tls-server-name: other.example.com");
    let other = provider.lock(&["--try"]).await;
    assert_eq!(other.code, Some(69), "{}", other.stderr);
    assert!(other.stderr.contains("not valid for name"), "{}", other.stderr);
}

/// The path of a cluster below Rancher's URL.
const PREFIX: &str = "/k8s/clusters/c-m-abc12xyz";

/// A server that passes on requests below [`PREFIX`], with the credentials of its clients.
struct Rancher {
    address: SocketAddr,
    /// The paths of the other requests.
    elsewhere: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Rancher {
    async fn start(fixture: &Fixture) -> Self {
        let mut config = fixture.plane.config(ADMIN);
        config.auth_info = kube::config::AuthInfo::default();
        let client = Client::try_from(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, elsewhere) = (listener.local_addr().unwrap(), Arc::default());
        let (mut tasks, others) = (JoinSet::new(), Arc::clone(&elsewhere));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (client, others) = (client.clone(), Arc::clone(&others));
                let pass = service_fn(move |request| {
                    pass_on(client.clone(), Arc::clone(&others), request)
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), pass);
                connections.spawn(connection);
            }
        });
        Self { address, elsewhere, _tasks: tasks }
    }
}

async fn pass_on(
    client: Client,
    elsewhere: Arc<Mutex<Vec<String>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, kube::Error> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let Some(rest) = path.strip_prefix(PREFIX) else {
        elsewhere.lock().unwrap().push(path);
        return Ok(Response::builder().status(404).body(Body::empty()).unwrap());
    };
    head.uri = rest.parse().unwrap();
    head.headers.remove(HOST);
    let body = body.collect().await.map_err(kube::Error::HyperError)?.to_bytes().to_vec();
    client.send(Request::from_parts(head, Body::from(body))).await
}

#[tokio::test]
async fn rancher() {
    let mut provider = Provider::new(include_str!("kubeconfigs/rancher.yaml")).await;
    let rancher = Rancher::start(&provider.fixture).await;
    let server = format!("http://{}{PREFIX}", rancher.address);
    provider.set(&provider.fixture.plane.url(), &server);
    // Rancher breaks the text into lines.
    let (at, _) = provider.kubeconfig.match_indices("LS0t").next().unwrap();
    provider.kubeconfig.insert_str(at + 60, "\\\n      ");

    let ended = provider.lock(&[]).await;

    assert_works(&ended, "prod", "a token");
    assert!(ended.stderr.contains(&format!("server=\"{server}\"")), "{}", ended.stderr);
    let lease = provider.fixture.leases().get_opt("orders").await.unwrap();
    assert!(lease.is_some(), "the lock is in the real cluster");
    assert_eq!(*rancher.elsewhere.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn empty_values_are_ignored() {
    let provider = Provider::new(include_str!("kubeconfigs/eks.yaml")).await;
    provider.plugin("plugin", &provider.token());
    let mut kubeconfig = provider.fixture.own_kubeconfig();
    let cluster = kubeconfig["clusters"][0]["cluster"].as_object_mut().unwrap();
    for name in ["certificate-authority", "tls-server-name", "proxy-url"] {
        cluster.insert(name.into(), "".into());
    }
    kubeconfig["users"][0]["user"] = json!({
        "client-certificate": "", "client-certificate-data": "", "client-key-data": "",
        "username": "", "password": "", "token": "", "tokenFile": "",
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": provider.path("plugin"),
            "interactiveMode": "Never",
        },
    });

    let ended = provider.fixture.lock_with(&kubeconfig).await;

    let credential = format!("the credential plugin `{}`", provider.path("plugin").display());
    assert_works(&ended, "tests", &credential);
}

/// The certificate of the server is signed by itself, and is the authority in the kubeconfig.
#[tokio::test]
async fn the_own_certificate_of_the_server_can_be_the_authority() {
    let mut provider = Provider::new(include_str!("kubeconfigs/teleport.yaml")).await;
    if !provider.fixture.plane.own() {
        return;
    }
    provider.set("@NAME@", PINNED);
    provider.plugin("tsh", &provider.token());
    let with_authority = provider.lock(&["--try"]).await;
    let mut kubeconfig = provider.fixture.own_kubeconfig();
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    cluster["tls-server-name"] = PINNED.into();
    let pinned = fs::read(provider.fixture.plane.pinned()).unwrap();
    cluster["certificate-authority-data"] = STANDARD.encode(pinned).into();

    let works = provider.fixture.lock_with(&kubeconfig).await;
    kubeconfig["clusters"][0]["cluster"]["tls-server-name"] = "localhost".into();
    let other_certificate = provider.fixture.lock_with(&kubeconfig).await;

    assert_eq!(works.code, Some(0), "{}", works.stderr);
    for refused in [with_authority, other_certificate] {
        assert_eq!(refused.code, Some(69), "{}", refused.stderr);
        assert!(refused.stderr.contains("invalid peer certificate"), "{}", refused.stderr);
    }
}
