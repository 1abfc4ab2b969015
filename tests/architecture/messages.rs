//! The texts in the code, compared with the entries of `docs/troubleshooting.md`.
//!
//! Every text of three words or more in the shipped code must contain the words of an entry, or be listed in
//! `other_texts.txt`: results, help, and parts of lines that mean nothing without the rest. Every entry and every line of
//! that list must occur in a text.

use std::{collections::BTreeSet, fs};

use super::{root, rust_files};

/// The page says that entries in this section come from elsewhere.
const ELSEWHERE: &str = "## From other programs and libraries";

/// Files without errors that a user of the program can see.
const LEFT_OUT: [&str; 12] = [
    "cli/src/cli/chart.rs",
    "cli/src/cli/help.rs",
    "cli/src/commands/demo/",
    "cli/src/commands/manual.rs",
    "src/backends/kubernetes/codec/check.rs",
    "src/backends/memory/",
    "src/conformance/",
    "src/protocol/model/",
    "src/runtime/metrics.rs",
    "src/runtime/session/metrics.rs",
    "/properties.rs",
    "/tests",
];

/// A text in these is for `-v`, or for a programmer.
const NOT_SHOWN: [&str; 9] = [
    "assert!",
    "assert_eq!",
    "debug!",
    "debug_assert!",
    "expect",
    "info!",
    "panic!",
    "trace!",
    "unreachable!",
];

#[test]
fn each_error_of_the_code_has_an_entry_and_each_entry_an_error() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).expect("a page");
    let others = fs::read_to_string(root().join("tests/architecture/other_texts.txt"));
    let others = others.expect("a list");
    let others: Vec<_> = others.lines().filter(|line| !line.starts_with("// ")).collect();

    let found = differences(&texts(), &entries(&page), &others);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_entries_of_each_section_are_sorted_and_long_enough_to_be_exact() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).expect("a page");

    for section in page.split("\n## ") {
        let entries = entries(section);
        assert!(entries.is_sorted_by_key(sort_key), "{entries:#?}");
        let exact = if ELSEWHERE.ends_with(title(section)) { Vec::new() } else { entries };
        for entry in exact {
            assert!(entry.split(' ').count() > 2, "{entry:?} could be part of any text");
        }
    }
}

#[test]
fn a_text_without_an_entry_and_an_entry_without_a_text_are_found() {
    let code = r##"
        //! "this is a comment"
        #[error("no answer within {0:?}")]
        #[expect(lint, reason = "not a text at all")]
        fn f() {
            debug!(a = f(), "uses a cluster {}", g());
            let line = format!("`{}` was \
                not found: {why}", '"', r#"a "raw" text is found"#);
            g().expect("an invariant that holds");
        }
        #[cfg(test)]
        mod tests { fn f() { g("a text of a test") } }"##;
    let found: Vec<_> = of_file("a.rs", code).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, ["no answer within …", "`…` was not found: …", "a \"raw\" text is found"]);

    let texts = of_file("a.rs", code);
    let page =
        format!("- `was not found`: it.\n- `no longer said`: it.\n{ELSEWHERE}\n- `reset`: it.");
    assert_eq!(
        differences(&texts, &entries(&page), &["no answer within …", "gone"]),
        [
            "a.rs: \"a \\\"raw\\\" text is found\" has no entry in docs/troubleshooting.md",
            "docs/troubleshooting.md: no text contains \"no longer said\"",
            "other_texts.txt: there is no text \"gone\"",
        ]
    );
}

/// The file and the text.
type Text = (String, String);

fn differences(texts: &[Text], entries: &[&str], others: &[&str]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (file, text) in texts {
        let has_entry = entries.iter().any(|entry| text.contains(entry));
        if !has_entry && !others.contains(&&**text) {
            found.insert(format!("{file}: {text:?} has no entry in docs/troubleshooting.md"));
        }
    }
    let said = |words: &str| texts.iter().any(|(_, text)| text.contains(words));
    let unsaid = entries.iter().filter(|entry| !said(entry));
    found.extend(unsaid.map(|it| format!("docs/troubleshooting.md: no text contains {it:?}")));
    let gone = others.iter().filter(|other| !texts.iter().any(|(_, text)| text == *other));
    found.extend(gone.map(|it| format!("other_texts.txt: there is no text {it:?}")));
    found.into_iter().collect()
}

/// The words at the start of each item of the page, in backticks, except those of [`ELSEWHERE`].
fn entries(page: &str) -> Vec<&str> {
    let own = page.split(ELSEWHERE).next().unwrap_or_default();
    own.lines().filter_map(entry).collect()
}

/// The words at the start of an item, which are code with one or two backticks around it.
fn entry(line: &str) -> Option<&str> {
    let item = line.strip_prefix("- `")?;
    let (words, _) = match item.strip_prefix('`') {
        Some(item) => item.split_once("``:")?,
        None => item.split_once("`:")?,
    };
    Some(words.trim())
}

fn title(section: &str) -> &str {
    section.lines().next().unwrap_or_default()
}

/// What the entries are sorted by.
fn sort_key(entry: &&str) -> String {
    entry.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_lowercase()
}

/// All texts of the shipped code that a user can see.
fn texts() -> Vec<Text> {
    let mut found = Vec::new();
    for tree in ["src", "cli/src"] {
        for path in rust_files(&root().join(tree)) {
            let file = path.strip_prefix(root()).expect("it lies there").to_str().expect("ASCII");
            if !LEFT_OUT.iter().any(|part| file.contains(part)) {
                found.extend(of_file(file, &fs::read_to_string(&path).expect("it can be read")));
            }
        }
    }
    assert!(found.len() > 100, "{} texts", found.len());
    found
}

fn of_file(file: &str, code: &str) -> Vec<Text> {
    let code = code.split("mod tests").next().unwrap_or_default();
    Scanner { rest: code, within: Vec::new(), word: String::new(), found: Vec::new() }
        .scan()
        .into_iter()
        .filter(|text| is_sentence(text))
        .map(|text| (file.to_owned(), text))
        .collect()
}

/// Three words or more, of which one may be a value.
fn is_sentence(text: &str) -> bool {
    let words = |of: fn(char) -> bool| text.split(' ').filter(|word| word.contains(of)).count();
    words(char::is_alphabetic) >= 2 && words(|c| c.is_alphabetic() || c == '…') >= 3
}

/// Finds the texts of a file.
struct Scanner<'a> {
    rest: &'a str,
    /// The word before each open parenthesis, or `#` for an attribute.
    within: Vec<String>,
    /// The last word.
    word: String,
    found: Vec<String>,
}

impl Scanner<'_> {
    fn scan(mut self) -> Vec<String> {
        while let Some(c) = self.rest.chars().next() {
            let is_raw = ["r\"", "r#"].iter().any(|raw| self.rest.starts_with(raw));
            if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if is_raw && self.word.is_empty() {
                self.raw_text();
            } else if c == '"' {
                self.text();
            } else if let Some(length) = character(self.rest) {
                self.skip(length);
            } else {
                self.code(c);
            }
        }
        self.found
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn code(&mut self, c: char) {
        match c {
            '(' | '[' => self.within.push(std::mem::take(&mut self.word)),
            ')' | ']' => {
                self.within.pop();
            }
            '#' | '!' => self.word.push(c),
            c if c.is_alphanumeric() || c == '_' => self.word.push(c),
            _ => self.word.clear(),
        }
        self.skip(c.len_utf8());
    }

    /// Whether a text here is for users. Of all attributes, only that of an error is.
    fn is_shown(&self) -> bool {
        let attribute = self.within.iter().position(|word| word.starts_with('#'));
        match attribute {
            Some(at) => self.within.get(at + 1).is_some_and(|word| word == "error"),
            None => !self.within.iter().any(|word| NOT_SHOWN.contains(&&**word)),
        }
    }

    fn raw_text(&mut self) {
        let hashes = self.rest[1..].chars().take_while(|c| *c == '#').count();
        let end = format!("\"{}", "#".repeat(hashes));
        let begin = hashes + 2;
        let length = self.rest[begin..].find(&end).expect("a text that ends");
        self.keep(&self.rest[begin..begin + length]);
        self.skip(begin + length + end.len());
    }

    fn text(&mut self) {
        let (mut text, mut chars) = (String::new(), self.rest.char_indices().skip(1).peekable());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.keep(&text);
                    return self.skip(at + 1);
                }
                '\\' => match chars.next() {
                    Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                    Some((_, escaped)) => text.push(if escaped == 'n' { ' ' } else { escaped }),
                    None => {}
                },
                c => text.push(c),
            }
        }
        panic!("a text that does not end: {}", self.rest);
    }

    /// Keeps a text, with `…` instead of each value.
    fn keep(&mut self, text: &str) {
        if !self.is_shown() {
            return;
        }
        let mut shown = String::new();
        let mut rest = text;
        while let Some((before, value)) = rest.split_once('{') {
            shown.push_str(before);
            shown.push('…');
            rest = value.split_once('}').map_or("", |(_, rest)| rest);
        }
        self.found.push(shown + rest);
    }
}

/// The length of a character literal at the start of `code`. A lifetime is none.
fn character(code: &str) -> Option<usize> {
    let inner = code.strip_prefix('\'')?;
    let length = match inner.strip_prefix('\\') {
        Some(escape) => 1 + escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0,
        None => inner.chars().next()?.len_utf8(),
    };
    inner[length..].starts_with('\'').then_some(length + 2)
}
