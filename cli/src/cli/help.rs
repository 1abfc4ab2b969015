//! What `--help` says after the options. A paragraph is a line here: the terminal's width breaks it.

/// Of the whole program.
pub(crate) const AFTER: &str = "\
Exit codes: those of CMD; 128+n if signal n ended it; 126 it is not executable, 127 it was not found; \
75 somebody else holds the lock (see --busy-code); 79 the lock was lost while CMD ran; 69 the API server \
cannot be used; 64 the command line is wrong; 1 what was asked for is not there; 70 a fault of this program or system.

An option that shows [env: …] can be given in the environment instead.

Examples:
  leasehold lock nightly -- ./backup.sh     run a job that must not run twice
  leasehold elect billing -- ./scheduler    keep one of several running
  leasehold status -A                       see who holds what";

/// Of `lock`.
pub(crate) const LOCK: &str = "\
Everything after NAME is the command, word for word: no shell is involved. It sees LEASEHOLD_NAME, \
LEASEHOLD_NAMESPACE, LEASEHOLD_HOLDER, LEASEHOLD_TOKEN and LEASEHOLD_EXPIRES_AT, and in LEASEHOLD_CHAIN \
every lock that is held around it. It runs in a process group of its own, which is told to stop (TERM) when \
the lock is lost or about to be, and is killed before anybody else can have it. What it leaves running in \
that group is stopped before the lock is released.

Examples:
  leasehold lock nightly -- ./backup.sh --full   must not run twice at once
  leasehold lock --try nightly ./backup.sh       leave, with 75, if it runs
  leasehold lock --wait 5m -n shop deploy make deploy
  leasehold lock maintenance                     hold it until Ctrl-C";

/// Of `elect`.
pub(crate) const ELECT: &str = "\
With --serve:
  GET /         how this candidate stands and who leads, as JSON
  GET /leading  200 while this process leads, else 503; with the token
  GET /events   server-sent events: the same as /, once with each change
  GET /healthz  200 while it is able to compete, leading or not
  GET /metrics  for Prometheus
Whether it leads is judged with each request, by the guard's clock: never 200 past the deadline. In / the `leader` \
is null while nobody leads. An API server that is away is no reason to restart anything: /healthz stays 200; a \
missing permission is 503. On SIGTERM it says 503 first, then resigns, then closes; with a CMD, once that has \
ended. Port 0 is one that is free; stderr says which.

With --label-leader the pod has the label while it leads: set after the lead was won, removed before it is given back, \
and when the program starts. A pod that is cut off keeps it until it is back, so it routes requests and guards nothing. \
Needs `patch` on pods, of that name. In a pod with two elections give the second another --label-key.

With --events it records LeaderElected and LeaderLost, for `kubectl events` to show: at most six at once and one a \
minute from then on. Needs `create` on events in events.k8s.io. What cannot be recorded is told, and no more.

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
  leasehold members -w billing     of one, and go on looking
  leasehold members -o json billing | jq -r 'select(.role == \"leader\").id'";

/// Of `status`.
pub(crate) const STATUS: &str = "\
A single look shows what is written: RENEWED is how long ago by the clocks of holder and reader, beside the \
time to live; `overdue` is older than that, which a slow clock can be, too. With --watch it is judged as a \
contender would: by how long this process has seen the record unchanged. LEFT is then how long nobody may \
take it if it is not renewed, and `expired` that anybody may, which a fresh list has confirmed.

Who waits for a lock leaves no record, so WAITING is known of elections only. All Leases of leasehold are \
listed, whatever the prefix of the program that made them; NAME may also be the name of the Lease.

Examples:
  leasehold status -A               in all namespaces
  leasehold status -w billing       and go on looking
  leasehold status -o json | jq -r 'select(.state == \"overdue\").name'";

/// Of `watch`.
pub(crate) const WATCH: &str = "\
An end is told with its reason: `released`; `expired`, not renewed for its time to live by this process's own clock; \
`succeeded`, another tenure has begun; `deleted`.

Examples:
  leasehold watch -A                in all namespaces
  leasehold watch -o json billing | jq -c 'select(.event == \"elected\")'";

/// Of `release`.
pub(crate) const RELEASE: &str = "\
Examples:
  leasehold release --force orders            shows who holds it, and asks
  leasehold release --force --yes -n shop orders";

/// Of `demo`.
pub(crate) const DEMO: &str = "\
Examples:
  leasehold demo
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
