//! Access besides the API: commands that load images and run on the node.

use std::{ffi::OsString, process::Command};

use tokio::sync::OnceCell;

/// The earlier version: a second tag of the image, and the version of the chart that is installed before the upgrade.
pub(crate) const EARLIER: &str = "0.0.9";

/// The variable with the command that runs a program on the node.
const NODE: &str = "LEASEHOLD_E2E_NODE";

/// The command in a variable, split into words.
fn words(variable: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: `make e2e` does, or see tests/cluster/README.md")
    });
    value.split_whitespace().map(ToOwned::to_owned).collect()
}

fn command(variable: &str, arguments: &[OsString]) -> Command {
    let words = words(variable);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(arguments);
    command
}

fn run(variable: &str, arguments: &[OsString]) -> Result<String, String> {
    let output = command(variable, arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{variable}: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Loads the image of leasehold into the cluster, once per process.
pub(crate) async fn load_image() {
    static LOADED: OnceCell<()> = OnceCell::const_new();
    LOADED
        .get_or_init(async || {
            let image = std::env::var_os("LEASEHOLD_E2E_IMAGE")
                .expect("LEASEHOLD_E2E_IMAGE: the file that `make image` made");
            run("LEASEHOLD_E2E_LOAD", &[image]).expect("the image is loaded");
        })
        .await;
}

/// Loads the image of leasehold with the tag [`EARLIER`].
pub(crate) fn load_earlier_image() {
    let images = std::env::var_os("LEASEHOLD_E2E_PROGRAMS").expect("LEASEHOLD_E2E_PROGRAMS");
    let image = std::path::Path::new(&images).join("earlier.tar");
    run("LEASEHOLD_E2E_LOAD", &[image.into()]).expect("the image is loaded");
}

/// Loads the image of another program; its reference.
pub(crate) fn load_program(name: &str) -> String {
    let images = std::env::var_os("LEASEHOLD_E2E_PROGRAMS").expect("LEASEHOLD_E2E_PROGRAMS");
    let image = std::path::Path::new(&images).join(format!("{name}.tar"));
    run("LEASEHOLD_E2E_LOAD", &[image.into()]).expect("the image is loaded");
    format!("localhost/leasehold-{name}:1")
}

/// Runs a script on the node.
pub(crate) fn on_node(script: &str) -> Result<String, String> {
    run(NODE, &shell(script))
}

/// A command that runs a script on the node.
pub(crate) fn command_on_node(script: &str) -> Command {
    command(NODE, &shell(script))
}

fn shell(script: &str) -> [OsString; 3] {
    ["sh".into(), "-c".into(), script.into()]
}

/// Kills every process of a pod with SIGKILL.
pub(crate) fn kill_pod(namespace: &str, pod: &str) {
    let script = format!(
        r"killed=1
        for process in /proc/[0-9]*; do
          if tr '\0' '\n' <$process/environ 2>/dev/null | grep -qx POD_NAMESPACE={namespace} &&
             tr '\0' '\n' <$process/environ 2>/dev/null | grep -qx POD_NAME={pod}
          then kill -KILL ${{process#/proc/}} && killed=0; fi
        done
        exit $killed"
    );
    on_node(&script).unwrap_or_else(|error| panic!("no process of {pod} was killed: {error}"));
}
