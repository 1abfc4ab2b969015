//! The lookup of CMD: a command that cannot start is reported before the lock is requested.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::exit::{Failure, Outcome, code};

/// Checks that `program` exists and is executable, with the search rules of `execvp`.
pub(crate) fn check(program: &OsStr) -> Outcome<()> {
    let refused = |path: &Path| {
        let line = format!(
            "`{}` is not executable. Run `chmod +x` on it, or name its interpreter",
            path.display()
        );
        Err(Failure::new(code::NOT_EXECUTABLE, line))
    };
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        return match runnable(path) {
            Some(true) => Ok(()),
            Some(false) => refused(path),
            None => not_found(program, "the file does not exist"),
        };
    }
    if program.is_empty() {
        return Err(Failure::new(
            code::NOT_FOUND,
            "the command after NAME is an empty text. Check the variable that it comes from",
        ));
    }
    let found = candidates(program).into_iter().map(|path| (runnable(&path), path));
    let mut seen = None;
    for (runnable, path) in found {
        match runnable {
            Some(true) => return Ok(()),
            Some(false) => seen = seen.or(Some(path)),
            None => {}
        }
    }
    seen.map_or_else(|| not_found(program, "it is in no directory of PATH"), |path| refused(&path))
}

fn not_found(program: &OsStr, why: &str) -> Outcome<()> {
    let next = if program.as_bytes().starts_with(b"-") {
        "The words after NAME are the command: put options before NAME"
    } else {
        "Check the spelling"
    };
    let line = format!("`{}` was not found: {why}. {next}", program.display());
    Err(Failure::new(code::NOT_FOUND, line))
}

/// Whether the file is executable; `None` if it does not exist.
fn runnable(path: &Path) -> Option<bool> {
    let file = std::fs::metadata(path).ok()?;
    Some(file.is_file() && access(path, Access::EXEC_OK).is_ok())
}

fn candidates(program: &OsStr) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .filter(|path| path.is_file())
        .collect()
}
