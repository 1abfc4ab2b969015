//! Proxies between the program and the API server, and servers that are none.

use std::{fs, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use leasehold_test_support::{ADMIN, ForwardProxy, ProxyRequest};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{Fixture, program::Ended};

/// A name that only the proxy knows.
const SERVER: &str = "kube.test:6443";

impl Fixture {
    fn address(&self) -> SocketAddr {
        self.plane.config(ADMIN).cluster_url.authority().unwrap().as_str().parse().unwrap()
    }

    /// The program with a kubeconfig that has the server [`SERVER`], after `edit`, and these variables.
    async fn lock_of_server(
        &self,
        edit: impl FnOnce(&mut Value),
        variables: &[(&str, &str)],
    ) -> Ended {
        let text = fs::read_to_string(&self.kubeconfig).unwrap();
        let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
        let cluster = &mut kubeconfig["clusters"][0]["cluster"];
        cluster["server"] = format!("https://{SERVER}").into();
        cluster["tls-server-name"] = "localhost".into();
        edit(cluster);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        fs::write(&path, kubeconfig.to_string()).unwrap();
        let mut program = self.leasehold_of(&path, ["lock", "-vv", "orders", "true"]);
        for (name, value) in variables {
            program = program.env(name, value);
        }
        program.end().await
    }
}

#[track_caller]
fn check(ended: &Ended, proxy: &ForwardProxy, credentials: &str) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let expected = ProxyRequest { target: SERVER.into(), credentials: credentials.into() };
    let requests = proxy.requests();
    assert!(!requests.is_empty() && requests.iter().all(|it| *it == expected), "{requests:?}");
    assert!(!ended.stderr.contains("p%40ss") && !ended.stderr.contains("p@ss"), "{ended:?}");
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_unless_no_proxy_names_the_server() {
    let fixture = Fixture::new().await;
    let proxy = ForwardProxy::start(fixture.address()).await;
    let url = format!("http://ann:p%40ss@{}", proxy.authority());

    let variables = [("HTTPS_PROXY", &*url), ("NO_PROXY", "10.0.0.1")];
    let used = fixture.lock_of_server(|_| {}, &variables).await;
    check(&used, &proxy, "ann:p@ss");
    let shown = format!("proxy=\"http://{} (HTTPS_PROXY)\"", proxy.authority());
    assert!(used.stderr.contains(&shown), "{shown}: {used:?}");

    // The address of the proxy in NO_PROXY means nothing.
    let before = proxy.requests().len();
    let variables = [("https_proxy", &*url), ("no_proxy", "127.0.0.1")];
    check(&fixture.lock_of_server(|_| {}, &variables).await, &proxy, "ann:p@ss");
    assert!(proxy.requests().len() > before);

    let before = proxy.requests().len();
    let variables = [("HTTPS_PROXY", &*url), ("NO_PROXY", ".test:6443")];
    let direct = fixture.lock_of_server(|_| {}, &variables).await;
    assert_eq!(direct.code, Some(69), "the name cannot be resolved");
    assert_eq!(proxy.requests().len(), before);

    let here = fixture.leasehold(["lock", "orders", "true"]).env("HTTPS_PROXY", &url).end().await;
    assert_eq!((here.code, proxy.requests().len()), (Some(0), before), "{here:?}");
}

#[tokio::test]
async fn a_proxy_of_the_environment_that_is_none_is_named_only_where_it_is_needed() {
    let fixture = Fixture::new().await;
    for (wrong, shown) in [("://", "`://`"), ("ftp://proxy:1", "`ftp://proxy:1/`")] {
        let here = fixture.leasehold(["lock", "orders", "true"]).env("HTTPS_PROXY", wrong);
        let here = here.end().await;
        assert_eq!((here.code, &*here.stderr), (Some(0), ""), "{wrong}");

        let other = fixture.lock_of_server(|_| {}, &[("HTTPS_PROXY", wrong)]).await;
        assert_eq!(other.code, Some(69), "{other:?}");
        assert!(other.stderr.contains(&format!("{shown} is no proxy")), "{other:?}");
        assert!(other.stderr.contains("Correct HTTPS_PROXY"), "{other:?}");
    }
    let wrong = fixture.lock_of_server(|cluster| cluster["proxy-url"] = "://".into(), &[]).await;
    assert!(wrong.stderr.contains("kubeconfig"), "{wrong:?}");
    assert!(wrong.stderr.contains("`://` is no proxy"), "{wrong:?}");
}

#[tokio::test]
async fn the_proxy_of_the_kubeconfig_is_used() {
    let fixture = Fixture::new().await;
    for scheme in ["http", "socks5"] {
        let proxy = ForwardProxy::start(fixture.address()).await;
        let url = format!("{scheme}://ann:p%40ss@{}", proxy.authority());

        let variables = [("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*")];
        let edit = |cluster: &mut Value| cluster["proxy-url"] = url.into();
        let used = fixture.lock_of_server(edit, &variables).await;

        check(&used, &proxy, "ann:p@ss");
        let shown = format!("proxy=\"{scheme}://{} (proxy-url)\"", proxy.authority());
        assert!(used.stderr.contains(&shown), "{shown}: {used:?}");
    }
}

#[tokio::test]
async fn an_encrypted_proxy_is_used_and_its_own_certificate_can_be_the_authority() {
    let fixture = Fixture::new().await;
    let proxy = ForwardProxy::start_encrypted(fixture.address()).await;
    let edit = |cluster: &mut Value| {
        let authorities = cluster["certificate-authority-data"].as_str().unwrap();
        let mut authorities = STANDARD.decode(authorities).unwrap();
        authorities.extend(proxy.certificate().bytes());
        cluster["certificate-authority-data"] = STANDARD.encode(authorities).into();
        cluster["proxy-url"] = format!("https://{}", proxy.authority()).into();
    };

    check(&fixture.lock_of_server(edit, &[]).await, &proxy, "");
}

#[tokio::test]
async fn a_page_or_nothing_with_status_200_is_reported_as_no_api_server() {
    let fixture = Fixture::new().await;
    for (body, shown) in [("<html>Sign in</html>", "<html>Sign in</html>"), ("", "empty body")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let page = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}");
                let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
            }
        });

        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = fixture.kubeconfig_for(&url, directory.path());
        let ended =
            fixture.leasehold_of(&kubeconfig, ["lock", "--try", "orders", "true"]).end().await;

        page.abort();
        assert_eq!(ended.code, Some(69), "{ended:?}");
        let line = ended.stderr_line();
        assert!(line.contains("not an API server") && line.contains(shown), "{line}");
    }
}

#[tokio::test]
async fn the_manager_of_the_written_fields_is_leasehold() {
    let fixture = Fixture::new().await;
    let args = ["lock", "orders", "sh", "-c", "echo in; read line"];
    let mut running = fixture.leasehold(args).piped().start();
    assert_eq!(running.line().await, "in");

    let lease = fixture.leases().get("orders").await.unwrap();

    let managers = lease.metadata.managed_fields.unwrap_or_default();
    let names: Vec<_> = managers.into_iter().filter_map(|entry| entry.manager).collect();
    assert_eq!(names, ["leasehold"]);
    running.write_line("\n").await;
    assert_eq!(running.end().await.code, Some(0));
}
