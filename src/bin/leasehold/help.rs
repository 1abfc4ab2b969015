//! What `--help` says after the options.

/// Of the whole program.
pub(crate) const AFTER: &str = "\
Exit codes: those of CMD, 128+n if signal n ended it, 126 it is not executable, 127 it was not found,
75 somebody else holds the lock (see --busy-code), 79 the lock was lost while CMD ran, 69 the API server
cannot be used, 64 the command line is wrong.

Every option NAME can also be given as LEASEHOLD_NAME in the environment.";

/// Of `lock`.
pub(crate) const LOCK_EXAMPLES: &str = "\
Examples:
  leasehold lock nightly -- ./backup.sh --full       run a job that must not run twice at once
  leasehold lock --try nightly ./backup.sh           or leave, with 75, if it runs already
  leasehold lock --wait 5m -n shop deploy make deploy
  leasehold lock maintenance                         hold it until Ctrl-C

Everything after NAME is the command, word for word: no shell is involved. It sees LEASEHOLD_NAME,
LEASEHOLD_NAMESPACE, LEASEHOLD_HOLDER, LEASEHOLD_TOKEN and LEASEHOLD_EXPIRES_AT, and in LEASEHOLD_CHAIN
every lock that is held around it. It runs in a process group of its own, which is told to
stop (TERM) when the lock is lost or about to be, and is killed before anybody else can have it. What
it leaves running in that group is stopped before the lock is released.";

/// Of `elect`.
pub(crate) const ELECT_EXAMPLES: &str = "\
Examples:
  leasehold elect billing -- ./scheduler --config prod.toml
  leasehold elect --once --ttl 30s billing ./migrate.sh
  leasehold elect -o json billing                    a line with each change, until Ctrl-C
  leasehold elect --serve 127.0.0.1:8080 billing     a sidecar, for programs in any language to ask
  leasehold elect --label-leader --events billing    in a pod: labelled while it leads, with Events of it

With --serve:
  GET /         how this candidate stands and who leads, as JSON; `leader` is null while nobody does
  GET /leading  200 while this process leads, else 503; with the fencing token, and for how long it is sure
  GET /events   server-sent events: the same as /, once with each change, beginning with the present state
  GET /healthz  200 while it is able to compete, whether or not it leads: it stands in the election, and what fails,
                if anything, is worth trying again. An API server that is away is no reason to restart anything;
                a missing permission is 503
  GET /metrics  for Prometheus
Whether it leads is judged with each request, by the guard's clock: never 200 past the deadline. On SIGTERM it says
503 first, then resigns, then closes; with a CMD, once that has ended. Port 0 is one that is free; stderr says which.

With --label-leader the pod has the label while it leads: set after the lead was won, removed before it is given back,
and when the program starts. A pod that is cut off keeps it until it is back, so it routes requests and guards nothing.
Needs `patch` on pods, of that name. In a pod with two elections give the second another --label-key.

With --events it records LeaderElected and LeaderLost, for `kubectl events` to show: at most six at once and one a minute
from then on. Needs `create` on events in events.k8s.io. What cannot be recorded is told, and no more.";

/// Of `status`.
pub(crate) const STATUS_NOTES: &str = "\
A single look shows what is written: RENEWED is how long ago by the clocks of holder and reader, beside the
time to live; `overdue` is older than that, which a slow clock can be, too. With --watch it is judged as a
contender would: by how long this process has seen the record unchanged. LEFT is then how long nobody may
take it if it is not renewed, and `expired` that anybody may, which a fresh list has confirmed.

Who waits for a lock leaves no record, so WAITING is known of elections only. All Leases of leasehold are
listed, whatever the prefix of the program that made them; NAME may also be the name of the Lease.

Examples:
  leasehold status -A                   in all namespaces
  leasehold status -w billing           and go on looking
  leasehold status -o json | jq -r 'select(.state == \"overdue\").name'";
