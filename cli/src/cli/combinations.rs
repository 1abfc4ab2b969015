//! Options that contradict one another, and options that have no effect together with the others.
//!
//! On the command line both are mistakes. A variable gives way to an option of the command line, and one without an
//! effect is ignored, because one environment serves many commands.

use clap::{ArgMatches, parser::ValueSource};

use super::args::{Command, ElectArgs, LockArgs};

/// The options of a queue of `lock`.
const QUEUE: &str = "--queue, --slots or --shared";

/// Applies the rules of the [module](self) to the parsed `command`, whose options are in `given`.
///
/// # Errors
///
/// The usage error, as a line.
pub(super) fn apply(command: &mut Command, given: &ArgMatches) -> Result<(), String> {
    match command {
        Command::Lock(lock) => {
            give_way(lock, given)?;
            without_effect(given, lock_options(lock, given))?;
            if lock.is_queued() {
                lock.tenure.without_attempt();
            }
            Ok(())
        }
        Command::Elect(elect) => {
            without_effect(given, elect_options(elect, given))?;
            if elect.queue {
                elect.tenure.without_attempt();
            }
            Ok(())
        }
        Command::Demo(demo) if demo.serve.is_some() && demo.etcd.is_selected() => Err(
            "--serve shows candidates in this process: remove --serve, or --etcd (LEASEHOLD_ETCD)"
                .into(),
        ),
        _ => Ok(()),
    }
}

/// Resolves contradictions.
fn give_way(lock: &mut LockArgs, given: &ArgMatches) -> Result<(), String> {
    match (is_on_line(given, "try_once"), is_on_line(given, "wait")) {
        (true, true) => return Err("--try does not wait: remove --try or --wait".into()),
        (false, true) => lock.try_once = false,
        _ => {}
    }
    if lock.slots.is_some() && lock.shared {
        match (is_on_line(given, "slots"), is_on_line(given, "shared")) {
            (true, false) => lock.shared = false,
            (false, true) => lock.slots = None,
            _ => {
                return Err("--slots (LEASEHOLD_SLOTS) and --shared (LEASEHOLD_SHARED) are two modes of a lock: remove one \
                    of them"
                    .into());
            }
        }
    }
    Ok(())
}

/// An option, whether it has an effect, and why not.
type Effect<'a> = (&'a str, bool, String);

fn lock_options(lock: &LockArgs, given: &ArgMatches) -> Vec<Effect<'static>> {
    let queue_on_line = ["queue", "slots", "shared"].iter().any(|id| is_on_line(given, id));
    vec![
        ("session-namespace", lock.is_queued(), format!("without {QUEUE}")),
        // One environment may select the queue for many commands.
        ("attempt", !queue_on_line, format!("with {QUEUE}")),
    ]
}

fn elect_options(elect: &ElectArgs, given: &ArgMatches) -> Vec<Effect<'static>> {
    let sidecar = &elect.sidecar;
    vec![
        ("session-namespace", elect.queue, "without --queue".into()),
        ("attempt", !is_on_line(given, "queue"), "with --queue".into()),
        ("page", sidecar.serve.is_some(), "without --serve".into()),
        ("leader-url", sidecar.page, "without --page".into()),
        ("allow-host", sidecar.page, "without --page".into()),
        ("label-key", sidecar.label_leader, "without --label-leader".into()),
        (
            "pod",
            sidecar.label_leader || sidecar.events,
            "without --label-leader or --events".into(),
        ),
    ]
}

fn without_effect(given: &ArgMatches, options: Vec<Effect<'_>>) -> Result<(), String> {
    let idle = |(option, has_effect, _): &Effect<'_>| {
        !has_effect && is_on_line(given, &option.replace('-', "_"))
    };
    match options.into_iter().find(idle) {
        Some((option, _, why)) => Err(format!("--{option} has no effect {why}")),
        None => Ok(()),
    }
}

fn is_on_line(given: &ArgMatches, id: &str) -> bool {
    given.value_source(id) == Some(ValueSource::CommandLine)
}
