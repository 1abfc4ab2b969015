//! The engine knows words, and nothing of what is below it: no runtime, no client, no store.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What of this crate the engine may name.
const KNOWN: [&str; 4] = ["api", "protocol", "util", "Token"];
/// What it may not name at all.
const UNKNOWN: [&str; 7] =
    ["tokio", "futures", "kube", "k8s_openapi", "http", "tower", "hyper_util"];

#[test]
fn the_engine_names_no_runtime_no_client_and_no_lower_floor() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol"));
    assert!(files.len() > 10, "{files:?}");

    for file in files.iter().filter(|file| !file.ends_with("tests/floors.rs")) {
        let text = fs::read_to_string(file).unwrap();
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();

        for word in code.split(|c: char| !c.is_alphanumeric() && c != '_') {
            assert!(!UNKNOWN.contains(&word), "{} names {word}", file.display());
        }
        for named in named(&code) {
            assert!(KNOWN.contains(&named.as_str()), "{} names {named}", file.display());
        }
    }
}

#[test]
fn what_is_named_is_found_also_in_groups() {
    let code = "use crate::{protocol::{a::B, c}, store::{Store, RecordKey}, x, util::clock::Moment}; crate::runtime::queue::Queue";

    assert_eq!(named(code), ["protocol", "store", "x", "util", "runtime"]);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The modules of this crate that `code` names.
fn named(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            named.push(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (end, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    named.push(word(&group[start..end]));
                    start = end + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    named.retain(|name| !name.is_empty());
    named
}
