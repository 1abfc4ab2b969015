//! The paths in Rust code that lead through the root of its crate.

use std::collections::BTreeMap;

/// `code` without line comments. A `//` within a text also ends the line, which only hides what follows it there.
pub(crate) fn code_without_comments(code: &str) -> String {
    code.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The name after each `crate::` in the code of `file`, and after each `super::` that leads to the root of the crate.
pub(crate) fn imports(file: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if !ends_in_word(&code[..at]) {
            found.extend(first_names(&code[at + "crate::".len()..]));
        }
    }
    for (at, _) in code.match_indices("super::") {
        let before = &code[..at];
        if ends_in_word(before) || before.ends_with("super::") {
            continue;
        }
        let mut rest = &code[at..];
        let mut levels = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            levels += 1;
        }
        // Within an inline module, `super` leads less far. Its path is then counted although it may not reach the root,
        // which can only report too much.
        if levels >= depth(file) {
            found.extend(first_names(rest));
        }
    }
    found
}

/// The names that `pub use folder::..` exports from the root of a crate, each with its folder.
pub(crate) fn exports(root: &str) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for (at, _) in root.match_indices("pub use ") {
        let statement = root[at + "pub use ".len()..].split(';').next().unwrap_or_default();
        let Some((folder, names)) = statement.split_once("::") else { continue };
        for name in names.split(|c: char| !c.is_alphanumeric() && c != '_') {
            exports.insert(name.to_owned(), folder.to_owned());
        }
    }
    exports.remove("");
    exports
}

/// How many modules a file is below the root of its crate.
fn depth(file: &str) -> usize {
    let path = file.trim_end_matches(".rs");
    path.strip_suffix("/mod").unwrap_or(path).split('/').count()
}

fn ends_in_word(code: &str) -> bool {
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The first name of a path, or of each path in a group.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (end, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(word(&group[start..end]));
                start = end + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

#[test]
fn the_first_name_of_each_path_of_a_group_is_found() {
    let code = "use crate::{protocol::{a::B, c}, store::{Store, RecordKey}, x,\n util::clock}; crate::runtime::f();";

    assert_eq!(imports("a/b.rs", code), ["protocol", "store", "x", "util", "runtime"]);
}

#[test]
fn a_super_that_stays_in_its_folder_is_no_import() {
    assert_eq!(imports("a/b.rs", "use super::c; use mysuper::d; use my_crate::e;"), [""; 0]);
    assert_eq!(imports("a/b/c.rs", "use super::super::d;"), [""; 0]);
    assert_eq!(imports("a/b/mod.rs", "use super::super::d;"), ["d"]);
}

#[test]
fn an_exported_name_has_the_folder_that_it_comes_from() {
    let root = "pub use api::{error::{Cause, Error}, token::Token};\npub use util::clock::Clock;";

    let exports = exports(root);

    assert_eq!(exports["Cause"], "api");
    assert_eq!(exports["Token"], "api");
    assert_eq!(exports["Clock"], "util");
}
