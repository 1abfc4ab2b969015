//! A headless Chromium, controlled over `WebDriver` (W3C).

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// The key Enter in `WebDriver`.
pub const ENTER: &str = "\u{e007}";
/// The limit of every wait.
const LIMIT: Duration = Duration::from_secs(60);
const TAB: &str = "\u{e004}";
/// The key of the id of an element in an answer.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window, until this is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The directory of the profile, removed when this is dropped.
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium with a page of this width and height.
    pub async fn start((width, height): (u32, u32)) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: `make page` says how to get it");
        let port = BufReader::new(driver.stdout.take().unwrap()).lines().find_map(|line| {
            let line = line.ok()?;
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let url = format!("http://127.0.0.1:{}", port.expect("chromedriver prints its port"));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            session: format!("{url}/session"),
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            profile,
        };
        let args = [
            "--headless=new".into(),
            "--disable-gpu".into(),
            "--hide-scrollbars".into(),
            // The sandbox does not work for root, as in a container. The tests open only their own pages.
            "--no-sandbox".into(),
            "--disable-dev-shm-usage".into(),
            format!("--user-data-dir={}", browser.profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.send(Method::POST, "", &wanted).await;
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        // Set here, because a window cannot be as narrow as a phone.
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        browser.devtools("Emulation.setDeviceMetricsOverride", &size).await;
        browser
    }

    /// Opens a page, and waits until it has loaded.
    pub async fn open(&self, url: &str) {
        self.send(Method::POST, "/url", &json!({ "url": url })).await;
    }

    /// Sets the preferred colour scheme: `light` or `dark`.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &features).await;
    }

    /// Runs a script, and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.send(Method::POST, "/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn until(&self, script: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let so = async {
                while self.run(script).await != json!(true) {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            let waited = timeout(LIMIT, so).await;
            waited.unwrap_or_else(|_| panic!("{caller}: timed out waiting for {script}"));
        }
    }

    /// The text of the first element that matches a CSS selector.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({}).textContent", json!(selector));
        self.run(&script).await.as_str().unwrap().to_owned()
    }

    /// Clicks an element with the mouse. It must be visible, and not covered.
    pub async fn click(&self, selector: &str) {
        let found = json!({ "using": "css selector", "value": selector });
        let element = self.send(Method::POST, "/element", &found).await;
        let id = element[ELEMENT].as_str().unwrap();
        self.send(Method::POST, &format!("/element/{id}/click"), &json!({})).await;
    }

    /// Presses a key in the element that has the focus.
    pub async fn press(&self, key: &str) {
        let actions =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard =
            json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.send(Method::POST, "/actions", &keyboard).await;
    }

    /// Presses Tab until an element that matches has the focus, and checks that its outline is visible.
    pub async fn tab_to(&self, selector: &str) {
        let focused = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..20 {
            self.press(TAB).await;
            if self.run(&focused).await == json!(true) {
                let outline =
                    self.run("return getComputedStyle(document.activeElement).outlineStyle").await;
                assert_ne!(outline, json!("none"), "the focus must be visible");
                return;
            }
        }
        panic!("{selector} cannot be reached with Tab");
    }

    /// Saves a screenshot in the directory `LEASEHOLD_SCREENSHOTS`, if that is set.
    pub async fn shoot(&self, name: &str) {
        let Some(directory) = std::env::var_os("LEASEHOLD_SCREENSHOTS") else { return };
        let picture = self.send(Method::GET, "/screenshot", &json!({})).await;
        let bytes = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        std::fs::write(std::path::Path::new(&directory).join(format!("{name}.png")), bytes)
            .unwrap();
    }

    /// Errors of the page: from scripts, and violations of its content security policy.
    pub async fn complaints(&self) -> Vec<Value> {
        let log = self.send(Method::POST, "/se/log", &json!({ "type": "browser" })).await;
        let all = log.as_array().unwrap().iter();
        all.filter(|entry| entry["level"] == "SEVERE").cloned().collect()
    }

    /// Ends the session. Blocking, because it runs in `drop`, also during a panic.
    fn end(&self) -> io::Result<()> {
        let (_, rest) = self.session.split_once("//").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or_default();
        let mut driver = TcpStream::connect(host)?;
        driver.set_read_timeout(Some(LIMIT))?;
        write!(driver, "DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        // The driver answers when the browser has ended, and leaves the connection open.
        driver.read(&mut [0; 1]).map(drop)
    }

    async fn devtools(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.send(Method::POST, "/goog/cdp/execute", &body).await;
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let body = if method == Method::GET { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(format!("{}{path}", self.session));
        let answer = self.client.request(request.body(Full::from(body)).unwrap()).await.unwrap();
        let well = answer.status().is_success();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(well, "{path}: {}", answer["value"]["message"]);
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with the session. Then end the driver.
        let _ = self.end();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
