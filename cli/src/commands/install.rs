//! `leasehold install`.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    cli::args::InstallArgs,
    exit::{Failure, Outcome, code},
};

/// Copies this program. Other processes find the complete file or none.
pub(crate) fn run(args: &InstallArgs) -> Outcome {
    let target = file(&args.path);
    copy(&target).map_err(|error| {
        let line = format!(
            "`{}` could not be written: {error}. Name a file or directory that this user can write",
            target.display()
        );
        Failure::new(code::INTERNAL, line)
    })?;
    Ok(0)
}

fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("leasehold") } else { path.to_owned() }
}

fn copy(target: &Path) -> io::Result<()> {
    // A device or a socket would be replaced by the program.
    if fs::symlink_metadata(target).is_ok_and(|found| !found.is_file() && !found.is_symlink()) {
        return Err(io::Error::other("it exists, and is neither a file nor a directory"));
    }
    let mut partial = OsString::from(target);
    partial.push(".partial");
    fs::copy(std::env::current_exe()?, &partial)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
    fs::rename(&partial, target)
}
