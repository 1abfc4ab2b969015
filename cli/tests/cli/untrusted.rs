//! Texts that other programs wrote into records, with characters that a terminal would obey.

use leasehold::Sync as _;
use rustix::process::Signal;

use crate::Fixture;

/// Sets the title of the window, changes the colour in two ways, changes the direction of writing.
const HOLDER: &str = "evil\x1b]0;owned\x07\x1b[31m\u{9b}32m\u{202e}\x7f";
const SHOWN: &str = r"evil\u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}32m\u{202e}\u{7f}";

#[track_caller]
fn assert_harmless(text: &str) {
    let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(harmful), "{text:?}");
}

#[tokio::test]
async fn control_characters_of_a_holder_are_not_printed() {
    let fixture = Fixture::new().await;
    let _lost = fixture.handle().lock("orders", crate::brief()).await.unwrap();
    fixture
        .edit("orders", |lease| {
            lease.spec.as_mut().unwrap().holder_identity = Some(HOLDER.into());
        })
        .await;

    let busy = fixture.leasehold(["lock", "--try", "orders", "true"]).end().await;
    let status = fixture.leasehold(["status"]).end().await;
    let json = fixture.leasehold(["status", "-o", "json"]).end().await;
    let mut watch = fixture.leasehold(["watch"]).start();
    let event = watch.line().await;
    watch.signal(Signal::TERM);
    let object: serde_json::Value = serde_json::from_str(json.text()).unwrap();

    for text in [&*busy.stderr, status.text(), &event] {
        assert!(text.contains(SHOWN), "{text:?}");
        assert_harmless(text);
    }
    assert_harmless(json.text());
    assert_eq!(object["holder"], HOLDER);
}
