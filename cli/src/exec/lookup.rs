//! Whether a command can be started, told before anything is locked for it.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::exit::{Failure, Outcome, code};

/// Checks that `program` is there and can be executed, as `execvp` will look for it.
pub(crate) fn check(program: &OsStr) -> Outcome<()> {
    let refused = |path: &Path| {
        let line =
            format!("`{}` is not executable: make it so, or name its interpreter", path.display());
        Err(Failure::new(code::NOT_EXECUTABLE, line))
    };
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        return match runnable(path) {
            Some(true) => Ok(()),
            Some(false) => refused(path),
            None => not_found(program, "there is no such file"),
        };
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
    seen.map_or_else(|| not_found(program, "no directory of PATH has it"), |path| refused(&path))
}

fn not_found(program: &OsStr, why: &str) -> Outcome<()> {
    let next = if program.as_bytes().starts_with(b"-") {
        "What follows NAME is the command: options come before it"
    } else {
        "Check its spelling"
    };
    let line = format!("`{}` was not found: {why}. {next}", program.display());
    Err(Failure::new(code::NOT_FOUND, line))
}

/// Whether the file may be executed, if there is one.
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
