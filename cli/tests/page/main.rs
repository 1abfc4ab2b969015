//! The page in a real browser. `make page` runs these tests if Chromium is installed.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use leasehold_test_support::browser::{Browser, ENTER};
use serde_json::{Value, json};

/// The demonstration on a page. Dropping it ends the process.
struct Demo {
    child: Child,
    url: String,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_leasehold"))
            .args(["demo", "--serve", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, url }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn open(browser: &Browser, demo: &Demo) -> String {
    browser.open(&demo.url).await;
    browser.until("return document.body.classList.contains('led')").await;
    leader(browser).await
}

async fn leader(browser: &Browser) -> String {
    browser.text("#leader").await
}

async fn until_another_leads(browser: &Browser, than: &str) {
    let another = format!(
        "const now = document.getElementById('leader').textContent; return now !== {} && now !== 'no leader'",
        json!(than)
    );
    browser.until(&another).await;
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver: make page"]
async fn the_button_makes_the_leader_resign_by_mouse_and_by_keyboard() {
    let (demo, browser) = (Demo::start(), Browser::start((1000, 900)).await);
    let first = open(&browser, &demo).await;

    browser.click("#resign button").await;
    until_another_leads(&browser, &first).await;
    let second = leader(&browser).await;
    browser.until("return !document.querySelector('#resign button').disabled").await;
    // From the top of the page, with the keyboard only.
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0)").await;
    browser.tab_to("#resign button").await;
    browser.press(ENTER).await;
    until_another_leads(&browser, &second).await;

    browser.until("return document.querySelectorAll('.bar').length >= 3").await;
    browser.until("return document.querySelectorAll('.gap').length >= 1").await;
    let label = browser.run("return document.getElementById('timeline').ariaLabel").await;
    assert!(label.as_str().unwrap().contains("tenures in the last"), "{label}");
    let answered = browser.text("#answer").await;
    assert!(answered.contains("has resigned, and is a candidate again"), "{answered}");
    assert_eq!(browser.complaints().await, Vec::<Value>::new());
    browser.shoot("page").await;
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver: make page"]
async fn on_a_phone_nothing_is_cut_off_and_the_button_is_large() {
    let (demo, browser) = (Demo::start(), Browser::start((360, 740)).await);
    open(&browser, &demo).await;
    browser.until("return document.querySelectorAll('#members li .id').length === 3").await;

    let width = browser
        .run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        .await;
    let button = browser
        .run("const b = document.querySelector('#resign button').getBoundingClientRect(); return [b.left, b.right, b.height]")
        .await;

    let number = |value: &Value, at: usize| value[at].as_f64().unwrap();
    assert!(number(&width, 0) <= number(&width, 1), "scrolls sideways: {width}");
    assert!(number(&button, 0) >= 0.0 && number(&button, 1) <= number(&width, 1), "{button}");
    assert!(number(&button, 2) >= 44.0, "a finger needs 44 pixels: {button}");
    browser.shoot("page-phone").await;
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver: make page"]
async fn the_page_follows_the_colour_scheme_and_is_readable_in_both() {
    let (demo, browser) = (Demo::start(), Browser::start((1000, 900)).await);
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        open(&browser, &demo).await;
        let colours = browser
            .run("const of = (e) => getComputedStyle(e); const card = document.querySelector('.card');
                  return [of(document.body).backgroundColor, of(card).backgroundColor, of(document.body).color,
                          of(document.querySelector('dt')).color]")
            .await;
        let of = |at: usize| luminance(colours[at].as_str().unwrap());
        for ink in [2, 3] {
            let contrast = contrast(of(1), of(ink));
            assert!(contrast >= 4.5, "{scheme}: contrast {contrast:.1} of {colours}");
        }
        grounds.push(of(0));
        browser.shoot(&format!("page-{scheme}")).await;
    }
    assert!(grounds[0] > 0.8 && grounds[1] < 0.1, "{grounds:?}");
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver: make page"]
async fn a_lost_server_is_shown_and_the_time_left_runs_out() {
    let (demo, browser) = (Demo::start(), Browser::start((1000, 900)).await);
    open(&browser, &demo).await;

    drop(demo);

    browser.until("return document.getElementById('link').classList.contains('cut')").await;
    browser.until("return document.getElementById('left').textContent.startsWith('0.0 s')").await;
}

/// Relative luminance of `rgb(r, g, b)`, as WCAG 2 defines it.
fn luminance(colour: &str) -> f64 {
    let channels: Vec<f64> = colour
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split([',', ')'])
        .filter_map(|channel| channel.trim().parse().ok())
        .collect();
    let linear = |channel: f64| {
        let c = channel / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let [r, g, b] = channels[..3] else { panic!("a colour: {colour}") };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}
