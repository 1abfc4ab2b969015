//! Which cluster is used: the one that `kubectl` would use, or an error.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use leasehold_test_support::ADMIN;
use serde_json::{Value, json};

use crate::{
    Fixture,
    program::{Ended, Program},
};

/// Runs `$0` in a mount namespace in which the files of a pod's service account are those of `$ACCOUNT`.
const IN_POD: &str = r#"
set -e
mount -t tmpfs tmpfs "$(readlink -f /var/run)"
mkdir -p /var/run/secrets/kubernetes.io
cp -r "$ACCOUNT" /var/run/secrets/kubernetes.io/serviceaccount
exec "$0" "$@"
"#;

/// Files for the test, and a pod of the admin.
struct Pod {
    directory: tempfile::TempDir,
    port: String,
}

impl Pod {
    /// None, with a line that says so, where no mount namespace can be made.
    fn new(fixture: &Fixture) -> Option<Self> {
        let allowed = std::process::Command::new("unshare").args(["-rm", "true"]).status();
        if !fixture.plane.own() || !allowed.is_ok_and(|status| status.success()) {
            eprintln!("skipped, because no mount namespace can be made");
            return None;
        }
        let (directory, config) = (tempfile::tempdir().unwrap(), fixture.plane.config(ADMIN));
        let account = directory.path().join("account");
        fs::create_dir(&account).unwrap();
        fs::write(account.join("namespace"), &fixture.namespace).unwrap();
        fs::copy(fixture.plane.ca(), account.join("ca.crt")).unwrap();
        fs::write(account.join("token"), fixture.token()).unwrap();
        Some(Self { directory, port: config.cluster_url.port_u16().unwrap().to_string() })
    }

    /// The program in the pod, without a kubeconfig.
    fn leasehold(&self, args: &[&str]) -> Program {
        let program = env!("CARGO_BIN_EXE_leasehold");
        let mut words = vec!["-rm", "sh", "-c", IN_POD, program];
        words.extend(args);
        Program::at("unshare".as_ref(), words)
            .env("ACCOUNT", self.directory.path().join("account").to_str().unwrap())
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", &self.port)
            .env("KUBECONFIG", "")
            .env("HOME", "/nowhere")
    }

    fn file(&self, name: &str, text: &str) -> String {
        write(self.directory.path(), name, text)
    }
}

impl Fixture {
    /// The admin's kubeconfig as an object.
    pub(crate) fn own_kubeconfig(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(&self.kubeconfig).unwrap()).unwrap()
    }

    pub(crate) fn token(&self) -> String {
        self.own_kubeconfig()["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    }

    /// The program with `text` as its only kubeconfig.
    pub(crate) async fn lock_with(&self, kubeconfig: &Value) -> Ended {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "kubeconfig", &kubeconfig.to_string());
        self.leasehold_of(path.as_ref(), ["lock", "-v", "orders", "true"]).end().await
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn in_a_pod_a_kubeconfig_that_cannot_be_used_is_an_error() {
    let fixture = Fixture::new().await;
    let Some(pod) = Pod::new(&fixture) else { return };
    let mut elsewhere = fixture.own_kubeconfig();
    elsewhere["current-context"] = "elsewhere".into();
    let missing = pod.directory.path().join("missing");
    let token = "token: not-to-be-shown";
    for path in [
        missing.to_str().unwrap(),
        &pod.file("broken", &format!("users:\n- name: a\n  user: {{\n    {token}\n  - ]")),
        &pod.file("elsewhere", &elsewhere.to_string()),
        &pod.file("empty", ""),
    ] {
        let ended = pod.leasehold(&["lock", "orders", "true"]).env("KUBECONFIG", path).end().await;

        assert_eq!((ended.code, ended.text()), (Some(69), ""), "{path}: {ended:?}");
        assert!(ended.stderr_line().contains(path), "{ended:?}");
        assert!(!ended.stderr.contains("not-to-be-shown"), "{ended:?}");
    }
    for option in ["--context", "--kubeconfig"] {
        let ended = pod.leasehold(&["lock", option, "elsewhere", "orders", "true"]).end().await;

        assert_eq!((ended.code, ended.text()), (Some(69), ""), "{option}: {ended:?}");
    }
    let home = pod.directory.path().join(".kube");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("config"), elsewhere.to_string()).unwrap();
    let home = pod.directory.path().to_str().unwrap();
    let ended = pod.leasehold(&["lock", "orders", "true"]).env("HOME", home).end().await;
    assert_eq!(ended.code, Some(69), "{ended:?}");

    assert_eq!(fixture.leases().get_opt("orders").await.unwrap(), None);
}

#[tokio::test]
async fn in_a_pod_without_a_kubeconfig_the_service_account_is_used_and_verbose_says_so() {
    let fixture = Fixture::new().await;
    let Some(pod) = Pod::new(&fixture) else { return };

    let ended = pod.leasehold(&["lock", "-v", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the pod's service account"), "{ended:?}");
    assert!(ended.stderr.contains(&format!("https://127.0.0.1:{}", pod.port)), "{ended:?}");
    assert!(ended.stderr.contains("credential=\"the token file /var/run/"), "{ended:?}");
    assert!(fixture.leases().get_opt("orders").await.unwrap().is_some());
}

#[tokio::test]
async fn verbose_shows_file_context_server_and_kind_of_credential_but_no_secret() {
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    let file = write(directory.path(), "token-file", "not-to-be-shown");
    let api = "client.authentication.k8s.io/v1";
    let exec = json!({ "apiVersion": api, "command": "/no/plugin", "args": ["not-to-be-shown"] });
    let [certificate, key] = version_1(directory.path()).map(|text| STANDARD.encode(text));
    for (user, kind) in [
        (json!({ "token": "not-to-be-shown" }), "a token"),
        (json!({ "tokenFile": file }), &*format!("the token file {file}")),
        (json!({ "username": "ann", "password": "not-to-be-shown" }), "a user and a password"),
        (json!({ "exec": exec }), "the credential plugin `/no/plugin`"),
        (
            json!({ "client-certificate-data": certificate, "client-key-data": key, "exec": exec }),
            "a client certificate and the credential plugin `/no/plugin`",
        ),
        (
            json!({ "client-certificate-data": certificate, "client-key-data": key }),
            "a client certificate",
        ),
        (json!({}), "none"),
    ] {
        let mut kubeconfig = fixture.own_kubeconfig();
        kubeconfig["users"][0]["user"] = user;

        let ended = fixture.lock_with(&kubeconfig).await;

        assert_eq!(ended.code, Some(69), "{ended:?}");
        let first = ended.stderr.lines().next().unwrap();
        for part in [
            "/kubeconfig` (named by KUBECONFIG)",
            &format!("server=\"{}\"", fixture.plane.url()),
            "context=\"tests\"",
            &format!("credential=\"{kind}\""),
        ] {
            assert!(first.contains(part), "{part}: {ended:?}");
        }
        assert!(!ended.stderr.contains("not-to-be-shown"), "{ended:?}");
    }
}

#[tokio::test]
async fn missing_files_of_the_list_are_skipped_and_the_first_value_wins() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    // As `kubectl config unset current-context` leaves it.
    let first =
        json!({ "apiVersion": "v1", "kind": "Config", "current-context": "", "contexts": [] });
    let first = write(directory.path(), "first", &first.to_string());
    let list = format!("/nowhere/a::{first}:/nowhere/b:{}", fixture.kubeconfig.display());

    let ended = fixture.leasehold_of(list.as_ref(), ["lock", "-v", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("KUBECONFIG") && ended.stderr.contains(&first), "{ended:?}");
}

#[tokio::test]
async fn the_user_and_password_of_a_url_are_never_shown() {
    let fixture = Fixture::new().await;
    let mut kubeconfig = fixture.own_kubeconfig();
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    cluster["server"] = fixture.plane.url().replace("://", "://ann:secret@").into();

    let works = fixture.lock_with(&kubeconfig).await;
    kubeconfig["clusters"][0]["cluster"]["server"] = "https://ann:secret@127.0.0.1:1".into();
    let refused = fixture.lock_with(&kubeconfig).await;
    kubeconfig["clusters"][0]["cluster"]["server"] = "https://ann:secret@127.0.0.1 :1".into();
    let no_url = fixture.lock_with(&kubeconfig).await;

    assert_eq!((works.code, refused.code, no_url.code), (Some(0), Some(69), Some(69)));
    for ended in [works, refused, no_url] {
        assert!(!ended.stderr.contains("secret"), "{ended:?}");
    }
}

/// A client certificate of X.509 version 1, as `openssl x509 -req` makes it without extensions, and its key.
fn version_1(directory: &Path) -> [String; 2] {
    openssl(directory, "ecparam -name prime256v1 -genkey -noout -out key");
    openssl(directory, "req -new -key key -subj /CN=ann -out request");
    // openssl 3.2 and newer makes version 3 without this option.
    let help = run_openssl(directory, "x509 -help").1;
    let version = if help.contains("-x509v1") { " -x509v1" } else { "" };
    openssl(directory, &format!("x509 -req{version} -in request -signkey key -days 1 -out crt"));
    certificate_and_key(directory)
}

/// A client certificate with a key on the curve P-521, and its key.
fn p_521(directory: &Path) -> [String; 2] {
    openssl(directory, "ecparam -name secp521r1 -genkey -noout -out key");
    openssl(directory, "req -new -x509 -key key -subj /CN=ann -days 1 -out crt");
    certificate_and_key(directory)
}

fn certificate_and_key(directory: &Path) -> [String; 2] {
    ["crt", "key"].map(|name| fs::read_to_string(directory.join(name)).unwrap())
}

/// Runs `openssl` in `directory`, because ring makes neither kind of certificate.
fn openssl(directory: &Path, words: &str) {
    let (success, text) = run_openssl(directory, words);
    assert!(success, "openssl {words}: {text}");
}

/// Whether it succeeds, and what it prints.
fn run_openssl(directory: &Path, words: &str) -> (bool, String) {
    let mut command = std::process::Command::new("openssl");
    let ended = command.args(words.split(' ')).current_dir(directory).output();
    let ended = ended.expect("the program `openssl`, for the keys of this test");
    let text = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_used_is_named_with_the_way_to_reissue_it() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    for ([certificate, key], words) in [
        (version_1(directory.path()), ["version 1", "-extfile"]),
        (p_521(directory.path()), ["P-521", "P-256"]),
    ] {
        let mut kubeconfig = fixture.own_kubeconfig();
        kubeconfig["users"][0]["user"] = json!({
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key),
        });

        let ended = fixture.lock_with(&kubeconfig).await;

        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(words.iter().all(|word| ended.stderr.contains(word)), "{ended:?}");
    }
}
