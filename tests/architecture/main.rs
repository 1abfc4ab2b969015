//! Pages that must agree with the code.
//!
//! The imports of `src` follow the table of folders in `src/docs/architecture.md`: the compiler accepts an import between
//! any two modules of a crate, so only a test keeps the folders apart. `docs/troubleshooting.md` has an entry for each
//! error.

mod imports;
mod messages;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use self::imports::{code_without_comments, exports, imports};

const PAGE: &str = include_str!("../../src/docs/architecture.md");

/// The header of the table for each source tree.
const LIBRARY_TABLE: &str = "| folder | may use |";
const PROGRAM_TABLE: &str = "| folder of `cli/src` | may use |";

/// Crates that `src/protocol` must not name, because the machine does no I/O and runs no task.
const NOT_IN_PROTOCOL: [&str; 7] =
    ["tokio", "futures", "kube", "k8s_openapi", "http", "tower", "hyper_util"];

#[test]
fn each_folder_of_the_library_uses_only_what_the_page_allows() {
    let table = table(PAGE, LIBRARY_TABLE).expect("the page has a table of the library's folders");

    assert_eq!(violations(&Tree::read(&root().join("src"), "lib.rs"), &table), [""; 0]);
}

#[test]
fn each_folder_of_the_program_uses_only_what_the_page_allows() {
    let table = table(PAGE, PROGRAM_TABLE).expect("the page has a table of the program's folders");

    assert_eq!(violations(&Tree::read(&root().join("cli/src"), "main.rs"), &table), [""; 0]);
}

#[test]
fn the_protocol_names_no_runtime_and_no_client() {
    let folder = root().join("src/protocol");
    let files = rust_files(&folder);
    assert!(files.len() > 10, "{files:?}");

    for file in files {
        let code = code_without_comments(&fs::read_to_string(&file).unwrap());
        for word in code.split(|c: char| !c.is_alphanumeric() && c != '_') {
            assert!(!NOT_IN_PROTOCOL.contains(&word), "{} names {word}", file.display());
        }
    }
}

#[test]
fn an_import_that_the_table_does_not_allow_is_found() {
    let tree = Tree::of(&[
        ("lib.rs", "mod api; mod runtime; pub use api::error::Error; pub use runtime::Handle;"),
        ("api/mod.rs", "use super::runtime::queue;"),
        ("api/error.rs", "use crate::{util::clock, runtime::queue::Queue, Handle};"),
        ("api/name.rs", "use super::super::runtime; use super::error; // use crate::runtime;"),
        ("runtime/mod.rs", "use crate::{Error, api::error};"),
        ("util.rs", "fn f() { crate::api::error::f() }"),
    ]);
    let table = rows("| `api` | `util` |\n| `runtime` | `api` |\n| `util` | nothing |");

    assert_eq!(
        violations(&tree, &table),
        [
            "api/error.rs uses `runtime`",
            "api/mod.rs uses `runtime`",
            "api/name.rs uses `runtime`",
            "util.rs uses `api`",
        ]
    );
}

#[test]
fn a_folder_without_a_row_and_a_row_without_a_folder_are_found() {
    let tree = Tree::of(&[("lib.rs", ""), ("api/mod.rs", ""), ("store.rs", "")]);
    let table = rows("| `api` | `gone` |\n| `old` | nothing |");

    assert_eq!(
        violations(&tree, &table),
        ["`gone` is no folder", "`old` is no folder", "`store` has no row"]
    );
}

fn rows(rows: &str) -> Table {
    table(&format!("{LIBRARY_TABLE}\n|---|---|\n{rows}\n\ntext"), LIBRARY_TABLE)
        .expect("there is a row")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What each folder may use.
type Table = BTreeMap<String, BTreeSet<String>>;

/// The table of `page` with this header: the names in backticks of its two columns.
fn table(page: &str, header: &str) -> Option<Table> {
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let lines = page.lines().skip_while(|line| *line != header);
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let table: Table = rows
        .filter_map(|row| {
            let mut cells = row.split('|').skip(1);
            let folder = names(cells.next()?).pop_first()?;
            Some((folder, names(cells.next()?)))
        })
        .collect();
    (!table.is_empty()).then_some(table)
}

/// The source files of one crate: path below its root, and code without comments.
struct Tree {
    files: BTreeMap<String, String>,
    /// The names that the crate's root exports, each with the folder that it comes from.
    exports: BTreeMap<String, String>,
}

impl Tree {
    fn read(source: &Path, root: &str) -> Self {
        let files: Vec<(String, String)> = rust_files(source)
            .into_iter()
            .map(|file| {
                let name =
                    file.strip_prefix(source).expect("it lies there").to_str().expect("ASCII");
                (name.to_owned(), fs::read_to_string(&file).expect("it can be read"))
            })
            .collect();
        assert!(files.iter().any(|(name, _)| name == root), "{} has no {root}", source.display());
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, code)| (name.as_str(), code.as_str())).collect();
        Self::of(&files)
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let mut files: BTreeMap<String, String> = files
            .iter()
            .map(|(name, code)| ((*name).to_owned(), code_without_comments(code)))
            .collect();
        let roots = ["lib.rs", "main.rs"].map(|root| files.remove(root).unwrap_or_default());
        Self { files, exports: exports(&roots.concat()) }
    }

    /// The folders, and the files next to the crate's root.
    fn folders(&self) -> BTreeSet<String> {
        self.files.keys().map(|file| folder(file)).collect()
    }
}

fn folder(file: &str) -> String {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs").to_owned()
}

/// Every import that `table` does not allow, and every difference between its rows and the folders.
fn violations(tree: &Tree, table: &Table) -> Vec<String> {
    let folders = tree.folders();
    let mut found = BTreeSet::new();
    for (file, code) in &tree.files {
        let from = folder(file);
        let Some(allowed) = table.get(&from) else {
            found.insert(format!("`{from}` has no row"));
            continue;
        };
        for name in imports(file, code) {
            let to = tree.exports.get(&name).filter(|_| !folders.contains(&name)).unwrap_or(&name);
            if folders.contains(to) && *to != from && !allowed.contains(to) {
                found.insert(format!("{file} uses `{to}`"));
            }
        }
    }
    let named = table.keys().chain(table.values().flatten());
    found.extend(
        named.filter(|name| !folders.contains(*name)).map(|name| format!("`{name}` is no folder")),
    );
    found.into_iter().collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("it is a folder")
        .map(|entry| entry.expect("it can be read").path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
