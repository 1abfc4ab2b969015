//! The program `helm`.

use std::{
    path::Path,
    process::{Command, Output},
};

/// The directory of the chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/leasehold");

/// Runs helm, which is `$HELM` or in the path. Returns its standard output, or its standard error if it failed.
///
/// # Panics
///
/// If there is no helm.
pub fn helm<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    // Keep the configuration and the cache of this user out of the tests.
    let home = tempfile::tempdir().expect("a directory");
    let Output { status, stdout, stderr } = command(home.path())
        .args(words)
        .output()
        .expect("helm, as $HELM or in the path: tests/cluster/helm.sh brings one");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
}

fn command(home: &Path) -> Command {
    let program = std::env::var_os("HELM").unwrap_or_else(|| "helm".into());
    let mut command = Command::new(program);
    for (variable, directory) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, home.join(directory));
    }
    command
}
