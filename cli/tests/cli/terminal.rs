//! The program on a terminal, in a shell with job control.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use leasehold::Sync as _;

use crate::{Fixture, brief, credentials::kubeconfig, program::runs};

/// Time limit.
const LIMIT: Duration = Duration::from_secs(30);
const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

/// An interactive shell on a new terminal, and its user.
struct Session {
    shell: Child,
    keyboard: File,
    screen: mpsc::UnboundedReceiver<Vec<u8>>,
    seen: String,
}

impl Session {
    fn start(fixture: &Fixture) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let tty = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let io = || Stdio::from(OwnedFd::from(tty.try_clone().unwrap()));
        // `setsid` makes the shell the leader of a session with this terminal.
        let shell = Command::new("setsid")
            .args(["--ctty", "--wait", "bash", "--norc", "--noprofile", "--noediting", "-i"])
            .env("KUBECONFIG", &fixture.kubeconfig)
            .env("LEASEHOLD_NAMESPACE", &fixture.namespace)
            .env("LEASEHOLD", env!("CARGO_BIN_EXE_leasehold"))
            .env("PS1", "$ ")
            .stdin(io())
            .stdout(io())
            .stderr(io())
            .process_group(0)
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let mut output = keyboard.try_clone().unwrap();
        let (show, screen) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends when all processes have closed the terminal.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                if show.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { shell, keyboard, screen, seen: String::new() }
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the screen shows `text`, after the last text waited for. Returns all output up to it.
    async fn shows(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                return self.seen.drain(..at + text.len()).collect();
            }
            match timeout(LIMIT, self.screen.recv()).await {
                Ok(Some(bytes)) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                _ => panic!("waited in vain for {text:?}, the screen shows {:?}", self.seen),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The terminal hangs up, which ends its processes.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[tokio::test]
async fn the_command_gets_the_keyboard_and_control_c() {
    let fixture = Fixture::new().await;
    let mut session = Session::start(&fixture);

    session.types("$LEASEHOLD lock orders sh -c 'echo re\"\"ady; read -r line; echo got-$line'\n");
    session.shows("ready").await;
    session.types("hello\n");
    session.shows("got-hello").await;
    session.types("$LEASEHOLD lock orders sh -c 'echo re\"\"ady; while :; do sleep 0.1; done'\n");
    session.shows("ready").await;
    session.types(CTRL_C);
    session.types("echo code=$?\n");
    session.shows("code=130").await;

    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn control_z_stops_the_job_and_fg_continues_it() {
    let fixture = Fixture::new().await;
    let mut session = Session::start(&fixture);

    session.types("$LEASEHOLD lock --ttl 60s orders sh -c 'echo re\"\"ady; read -r line; echo got-$line; exit 4'\n");
    session.shows("ready").await;
    session.types(CTRL_Z);
    session.shows("Stopped").await;
    session.types("echo the-shell-$((1 + 1))\n");
    session.shows("the-shell-2").await;
    let while_stopped = fixture.holder("orders").await;
    session.types("fg\n");
    session.shows("LEASEHOLD lock").await;
    session.types("hello\n");
    session.shows("got-hello").await;
    session.types("echo code=$?\n");
    session.shows("code=4").await;

    assert!(while_stopped.is_some());
    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn in_a_pipeline_the_terminal_stays_with_the_other_processes() {
    let fixture = Fixture::new().await;
    let mut session = Session::start(&fixture);

    session.types("$LEASEHOLD lock orders echo re\"\"ady | sh -c 'cat; read -r line </dev/tty; echo got-$line'\n");
    session.shows("ready").await;
    session.types("hello\n");
    session.shows("got-hello").await;
}

#[tokio::test]
async fn in_a_pipeline_a_command_that_reads_the_terminal_gets_it() {
    let fixture = Fixture::new().await;
    let mut session = Session::start(&fixture);

    session.types("$LEASEHOLD lock orders sh -c 'read -r line; echo got-$line' | cat\n");
    session.shows("\n").await;
    session.types("hello\n");
    session.shows("got-hello").await;
    session.types("echo code=$?\n");
    session.shows("code=0").await;

    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn in_a_pipeline_the_terminal_goes_to_the_process_that_reads_it() {
    let fixture = Fixture::new().await;
    let mut session = Session::start(&fixture);

    session.types(
        "$LEASEHOLD lock orders sh -c 'read -r line; echo got-$line; exec sleep 60' | \
         sh -c 'read -r line; echo $line; read -r line </dev/tty; echo then-$line'\n",
    );
    session.types("hello\n");
    session.shows("got-hello").await;
    session.types("world\n");
    session.shows("then-world").await;
    session.types(CTRL_C);
    session.types("echo en\"\"d\n");
    session.shows("end").await;

    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn on_a_terminal_the_status_is_redrawn_in_place_and_coloured_unless_no_color_is_set() {
    const UP: &str = "\x1b[2A\r\x1b[J";
    const GREEN: &str = "\x1b[32mheld";
    let fixture = Fixture::new().await;
    let guard = fixture.handle().lock("orders", brief()).await.unwrap();
    let mut session = Session::start(&fixture);

    session.types("export TERM=xterm; $LEASEHOLD status -w\n");
    session.shows(UP).await;
    let coloured = session.shows(UP).await;
    drop(guard);
    session.shows("free").await;
    session.types(CTRL_C);
    session.types("NO_COLOR=1 $LEASEHOLD status -w\n");
    session.shows(UP).await;
    let plain = session.shows(UP).await;
    session.types(CTRL_C);
    session.types("NO_COLOR=1 $LEASEHOLD status; echo en\"\"d\n");
    let once = session.shows("end").await;

    assert!(coloured.contains(GREEN) && coloured.contains(" of 2s"), "{coloured:?}");
    assert!(plain.contains("orders") && !plain.replace(UP, "").contains('\x1b'), "{plain:?}");
    assert!(once.contains("RENEWED") && !once.contains("\x1b["), "{once:?}");
}

/// A plugin that reads a code from the terminal.
const ASKS: &str = "printf 'Your code: ' >&2; read -r code; test \"$code\" = sesame || { echo no code >&2; exit 1; }";

/// The command line of a lock with a plugin that runs `lines`, in this `interactiveMode`.
fn with_plugin(fixture: &Fixture, directory: &Path, lines: &str, mode: &str) -> String {
    let path = kubeconfig(fixture, directory, lines);
    let own = std::fs::read_to_string(&path).unwrap();
    let mode = format!("\"exec\":{{\"interactiveMode\":\"{mode}\",");
    std::fs::write(&path, own.replace("\"exec\":{", &mode)).unwrap();
    format!("KUBECONFIG={} $LEASEHOLD lock orders", path.display())
}

#[tokio::test]
async fn an_interactive_plugin_gets_the_keyboard_and_after_it_the_command() {
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    for mode in ["IfAvailable", "Always"] {
        let lock = with_plugin(&fixture, directory.path(), ASKS, mode);
        let mut session = Session::start(&fixture);

        session.types(&format!("{lock} sh -c 'echo re\"\"ady; read -r line; echo got-$line'\n"));
        session.shows("Your code: ").await;
        session.types("sesame\n");
        session.shows("ready").await;
        session.types("hello\n");
        session.shows("got-hello").await;
        session.types("echo code=$?\n");
        session.shows("code=0").await;
    }
}

#[tokio::test]
async fn control_c_ends_an_interactive_plugin_and_the_program() {
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    let lines = format!("printf 'plugin-%s-' $$ >&2; {ASKS}");
    let lock = with_plugin(&fixture, directory.path(), &lines, "Always");
    let mut session = Session::start(&fixture);

    session.types(&format!("{lock} true\n"));
    let shown = session.shows("-Your code: ").await;
    let plugin = shown.rsplit('-').nth(1).unwrap();
    session.types(CTRL_C);
    // The signal reaches the plugin too. Until it has ended, it reads what is typed.
    let ended = async {
        while runs(plugin) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, ended).await.expect("the plugin ends");
    session.types("echo code=$?\n");
    session.shows("code=130").await;

    assert_eq!(fixture.holder("orders").await, None);
}

#[tokio::test]
async fn a_plugin_gets_no_keyboard_if_it_may_not_have_it_or_the_program_has_none() {
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    let never = with_plugin(&fixture, directory.path(), ASKS, "Never");
    let always = tempfile::tempdir().unwrap();
    let always = with_plugin(&fixture, always.path(), ASKS, "Always");
    let mut session = Session::start(&fixture);

    session.types(&format!("{never} true\n"));
    session.shows("no code").await;
    session.types(&format!("{always} true &\n"));
    session.shows("needs a terminal (interactiveMode: Always)").await;
    session.types(&format!("{always} true </dev/null\n"));
    session.shows("needs a terminal (interactiveMode: Always)").await;
}
