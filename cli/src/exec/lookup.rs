//! The lookup of CMD: a command that cannot start is reported before the lock is requested.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::exit::{Failure, Outcome, code};

/// Checks that `program` exists and is executable, with the search rules of `execvp`.
pub(crate) fn check(program: &OsStr) -> Outcome<()> {
    if program.as_bytes().contains(&b'/') {
        return match find(Path::new(program)) {
            Found::Runnable => Ok(()),
            Found::Refused(why) => refused(Path::new(program), &why),
            Found::Nothing => not_found(program, "the file does not exist"),
        };
    }
    if program.is_empty() {
        return Err(Failure::new(
            code::NOT_FOUND,
            "the command after NAME is an empty text. Check the variable that it comes from",
        ));
    }
    let mut seen = None;
    for path in candidates(program) {
        match find(&path) {
            Found::Runnable => return Ok(()),
            Found::Refused(why) => seen = seen.or(Some((path, why))),
            Found::Nothing => {}
        }
    }
    match seen {
        Some((path, why)) => refused(&path, &why),
        None => not_found(program, "it is in no directory of PATH"),
    }
}

fn refused(path: &Path, why: &str) -> Outcome<()> {
    Err(Failure::new(code::NOT_EXECUTABLE, format!("`{}` {why}", path.display())))
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

/// What a path names.
enum Found {
    Runnable,
    /// It exists, or may exist, but cannot be run: the reason with the next step.
    Refused(String),
    Nothing,
}

fn find(path: &Path) -> Found {
    match std::fs::metadata(path) {
        Ok(file) if file.is_dir() => {
            Found::Refused("is not executable: it is a directory. Name a file in it".into())
        }
        Ok(file) if file.is_file() && access(path, Access::EXEC_OK).is_ok() => Found::Runnable,
        Ok(_) => Found::Refused(
            "is not executable. Run `chmod +x` on it, or name its interpreter".into(),
        ),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Found::Nothing
        }
        Err(error) => Found::Refused(format!(
            "cannot be reached: {error}. Check the permissions of each directory in its path"
        )),
    }
}

fn candidates(program: &OsStr) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .filter(|path| path.is_file())
        .collect()
}
