//! The notes that `--help` prints after the options. A paragraph is one line here: the terminal's width breaks it.

/// The exit codes and what they mean, as in the table of `docs/cli.md`.
const EXIT_CODES: [(&str, &str); 9] = [
    ("that of CMD", "CMD ended by itself"),
    ("128 + n", "signal n ended CMD"),
    (
        "1",
        "the requested object does not exist; or release --force did nothing, \
            because the lock is already free or its question was not answered with y",
    ),
    (
        "64",
        "the command line is wrong, or the lock is in use in another mode or with another number of slots",
    ),
    ("69", "the API server or etcd cannot be used, or did not come within the wait"),
    (
        "70",
        "an internal fault of the program or the system, an output that could not be written, \
            or a command that cannot be ended although its lock is lost",
    ),
    (
        "75",
        "another process holds the lock, or still held it when the wait ran out, \
            or it may not be acquired yet (--busy-code changes the number)",
    ),
    ("79", "the lock or the lead was lost while CMD ran"),
    ("126, 127", "CMD is not executable, CMD was not found; as in a shell"),
];

/// The headings of `--help`. Groups of options with a heading come last in a struct: clap gives a heading to all options
/// that follow it.
pub(crate) const CLUSTER: &str = "Cluster";
pub(crate) const ETCD: &str = "etcd";
pub(crate) const OUTPUT: &str = "Output";
pub(crate) const SIDECAR: &str = "Sidecar";

/// Of the whole program.
pub(crate) fn after() -> String {
    let codes: Vec<_> =
        EXIT_CODES.iter().map(|(code, meaning)| format!("  {code}: {meaning}")).collect();
    format!("Exit codes:\n{}\n\n{NOTES}", codes.join("\n"))
}

const NOTES: &str = "\
An option that shows [env: …] can be set in the environment instead. With --etcd the program uses an etcd cluster \
instead of Kubernetes, and refuses options that only Kubernetes has; what is said of an API server then holds for etcd.

Examples:
  leasehold lock nightly -- ./backup.sh     run a job that must not run twice
  leasehold elect billing -- ./scheduler    keep one of several running
  leasehold status -A                       list locks and holders
  leasehold lock --etcd 10.0.0.1:2379 nightly -- ./backup.sh   on etcd";

/// Of `lock`.
pub(crate) const LOCK: &str = "\
Everything after NAME is the command, word for word, without a shell. CMD finds LEASEHOLD_NAME, \
LEASEHOLD_NAMESPACE, LEASEHOLD_HOLDER, LEASEHOLD_TOKEN and LEASEHOLD_EXPIRES_AT in its environment, with --slots also \
LEASEHOLD_SLOT, and in LEASEHOLD_CHAIN all locks that are held around it. CMD runs in its own process group. When the lock is lost, or is \
about to expire, the group gets TERM, and KILL before another process can acquire the lock. Processes that CMD \
leaves running in this group are stopped before the lock is released.

With --wait, an API server that is not there yet is waited for as well: if it has not come when the wait ends, the exit \
code is 69. Without --wait it is tried for 8 s, and with --try once.

Examples:
  leasehold lock nightly -- ./backup.sh --full   must not run twice at once
  leasehold lock --try nightly ./backup.sh       exit with 75 if it runs already
  leasehold lock --wait 30s --at-least 1h nightly ./backup.sh   once, on hosts that start it at the same time
  leasehold lock --wait 5m -n shop deploy make deploy
  leasehold lock --queue deploy make deploy      first come, first served
  leasehold lock --slots 4 gpu ./train.sh        at most four at once
  leasehold lock maintenance                     hold the lock until Ctrl-C";

/// Of `elect`.
pub(crate) const ELECT: &str = "\
An API server that is not there at the start is waited for, without a limit or as long as --wait-for-server says. A \
line on stderr says so. A wrong configuration or a missing permission ends the command at once, with 69.

With --serve:
  GET /         the leader and the status of this candidate, as JSON
  GET /leading  200 while this process leads, otherwise 503; with the token
  GET /events   server-sent events: the same as /, once for each change
  GET /healthz  200 while this process works, also while it waits for the API server
  GET /readyz   200 while this process can compete, leading or not
  GET /metrics  for Prometheus
Each request checks the deadline of the lead: the answer is never 200 after it. In / `leader` is null while no \
candidate leads. /healthz stays 200 while the API server is away, because a restart would not help; a missing \
permission is 503. /readyz is also 503 until the API server has been reached once. On SIGTERM the server first answers 503, then the candidate resigns, then the server closes. With \
a CMD, all this happens after CMD has ended. Port 0 selects a free port, which is printed to stderr.

With --label-leader this pod has the label while it leads. The label is set after the lead is won, and removed \
before the lead is released and when the program starts. A pod that is cut off keeps the label until it is connected \
again, so the label may route requests but does not protect data. Needs `patch` on pods. If a pod takes part in two \
elections, give the second another --label-key.

With --events the program records LeaderElected and LeaderLost, shown by `kubectl events`: at most six at once, \
then one per minute. Needs `create` on events in events.k8s.io. An Event that cannot be recorded is reported to \
stderr and has no other effect.

Examples:
  leasehold elect billing -- ./scheduler --config prod.toml
  leasehold elect --once --ttl 30s billing ./migrate.sh
  leasehold elect -o json billing                  each change, until Ctrl-C
  leasehold elect --serve 127.0.0.1:8080 billing   a sidecar
  leasehold elect --label-leader --events billing  in a pod";

/// Of `members`.
pub(crate) const MEMBERS: &str = "\
Examples:
  leasehold members                the candidates of all elections
  leasehold members -w billing     of one election, and keep watching
  leasehold members -o json billing | jq -r 'select(.role == \"leader\").candidate_id'";

/// Of `status`.
pub(crate) const STATUS: &str = "\
Without --watch, the table shows the records as written: RENEWED is the time since the last renewal, next to the ttl. \
It compares the clocks of the holder and of this host. `overdue` means that it is longer than the ttl: the holder is \
dead, or a clock is wrong. With --watch, a record is judged as a contender judges it: by how long this process has \
seen it unchanged. LEFT is then how long no other process may take the record if it is not renewed. `expired` means \
that any process may take it, confirmed by a fresh list. `not before` and a time at a free lock means that no run may \
start earlier, because the last one was started with --at-least.

A waiter for a lock has no record, so WAITING is known for elections and for locks with a queue only. The holder of such \
a lock is a session: `leasehold sessions` lists their processes. All Leases of leasehold are \
listed, with any prefix. NAME may also be the name of the Lease.

With NAME, the verb `get` on that Lease is enough, and `list` and `watch` on it with --watch. CANDIDATES and WAITING \
are then unknown.

Examples:
  leasehold status -A               in all namespaces
  leasehold status -w billing       keep watching
  leasehold status -o json | jq -r 'select(.state == \"overdue\").name'";

/// Of `watch`.
pub(crate) const WATCH: &str = "\
The event `lost` has a reason: `released`; `expired`, not renewed for its ttl by the clock of this process; \
`succeeded`, another tenure has begun; `deleted`, the record was deleted.

Examples:
  leasehold watch -A                in all namespaces
  leasehold watch -o json billing | jq -c 'select(.event == \"elected\")'";

/// Of `sessions`.
pub(crate) const SESSIONS: &str = "\
`overdue` means that the last heartbeat is longer ago than the ttl, by the clocks of the session's process and of this \
host: the process is dead, or a clock is wrong. Processes that wait for its locks end it. If no process waits \
for one of its locks, another session deletes its record after a day.

Examples:
  leasehold sessions -A
  leasehold sessions -o json | jq -r 'select(.held > 100).identity'";

/// Of `release`.
pub(crate) const RELEASE: &str = "\
Examples:
  leasehold release --force orders            shows the holder and asks
  leasehold release --session s15-k2j5q7w3x4y6z2a3b4c5
  leasehold release --force --yes -n shop orders";

/// Of `prune`.
pub(crate) const PRUNE: &str = "\
A released lock leaves its Lease, which the next process claims at once. Names that are used once, for example with a \
date, leave one Lease each: this command deletes them. The age is the time since the last holder wrote the Lease. It \
compares the clocks of that holder and of this host; a wrong clock can only delete a free Lease too early.

A process that waits for a lock, or uses it later, creates the Lease again, and its token still grows. A waiter that \
did not see the release, because its watch was interrupted, waits one more ttl. Leases of holders that died are kept; \
so are Leases of other programs. The records of dead candidates are deleted by the leader of their election.

Prints one line for each Lease, and a summary. Needs `list` and `delete` on leases. A Lease that cannot be deleted is \
reported, and the command then ends with 69.

Examples:
  leasehold prune --dry-run                 what is unused for 7 days
  leasehold prune -A --older-than 30d       in all namespaces
  leasehold prune -l team=shop -o json | jq -r .lease";

/// Of `demo`.
pub(crate) const DEMO: &str = "\
Examples:
  leasehold demo
  leasehold demo --etcd 127.0.0.1:2379
  leasehold demo --serve 127.0.0.1:8080";

/// Of `completions`.
pub(crate) const COMPLETIONS: &str = "\
Examples:
  leasehold completions bash > /etc/bash_completion.d/leasehold
  leasehold completions zsh > \"${fpath[1]}/_leasehold\"
  leasehold completions fish > ~/.config/fish/completions/leasehold.fish";

/// Of `man`.
pub(crate) const MAN: &str = "\
Examples:
  leasehold man > leasehold.1 && man ./leasehold.1";

/// Of `install`.
pub(crate) const INSTALL: &str = "\
Examples:
  leasehold install /shared     as /shared/leasehold";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Args;

    #[test]
    fn the_options_of_a_command_come_before_those_that_many_commands_share() {
        for part in Args::command().get_subcommands() {
            for option in part.get_opts() {
                let expected = match option.get_long().expect("a long name") {
                    "namespace" | "kubeconfig" | "context" => Some(CLUSTER),
                    "output" | "quiet" | "verbose" => Some(OUTPUT),
                    "serve" | "page" | "leader-url" | "allow-host" | "label-leader"
                    | "label-key" | "events" | "pod"
                        if part.get_name() == "elect" =>
                    {
                        Some(SIDECAR)
                    }
                    name if name.starts_with("etcd") => Some(ETCD),
                    _ => None,
                };
                let name = part.get_name();
                assert_eq!(option.get_help_heading(), expected, "{name} {option}");
            }
        }
    }

    #[test]
    fn the_exit_codes_are_those_of_the_documentation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        let page = std::fs::read_to_string(path).expect("the documentation");
        let (_, section) = page.split_once("## Exit codes").expect("a section");
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);

        let documented: Vec<_> = rows
            .map_while(|row| row.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
            .map(|(code, meaning)| (code, meaning.replace('`', "")))
            .collect();

        let in_help: Vec<_> =
            EXIT_CODES.iter().map(|(code, meaning)| (*code, (*meaning).to_owned())).collect();
        assert_eq!(documented, in_help);
    }
}
