//! The steps before a lock or an election is requested.

use std::{ffi::OsString, time::Duration};

use leasehold::Timing;

use crate::{
    cli::tenure_args::TenureArgs,
    cluster::{connect::Connection, target::Target},
    exec::{
        lookup,
        nesting::Nesting,
        process_table,
        signals::{Signals, unless_signalled},
    },
    exit::{Failure, Outcome, code, object},
};

/// The name and the command. The command is empty if there is none.
pub(crate) type NameAndCommand<'a> = Result<(&'a str, &'a [OsString]), String>;

/// The checked input of `lock` and `elect`. Nothing has been written to the server yet.
pub(crate) struct Prepared<'a> {
    pub(crate) name: &'a str,
    pub(crate) command: &'a [OsString],
    pub(crate) timing: Timing,
    pub(crate) grace: Duration,
    pub(crate) connection: Connection,
    /// Includes this lock or election.
    pub(crate) nesting: Nesting,
    /// Signals are handled from now on.
    pub(crate) signals: Signals,
    /// For example ``lock `orders` ``.
    pub(crate) object: String,
}

impl<'a> Prepared<'a> {
    /// Checks the input. `what` is "lock" or "election"; `busy_code` is the exit code if it is held.
    pub(crate) async fn prepare(
        what: &str,
        name_and_command: NameAndCommand<'a>,
        target: &Target,
        tenure: &TenureArgs,
        busy_code: u8,
    ) -> Outcome<Self> {
        let usage = |line| Failure::new(code::USAGE, line);
        let (name, command) = name_and_command.map_err(usage)?;
        let object = object(what, name)?;
        let timing = tenure.timing().map_err(usage)?;
        let grace = tenure.grace(&timing.durations()).map_err(usage)?;
        if let Some(program) = command.first() {
            lookup::check(program)?;
            process_table::check()?;
        }
        target.refuse_with_etcd(&tenure.for_kubernetes_only())?;
        let opening = Connection::open(target, tenure.options(), &object);
        let connection = unless_signalled(opening).await?;
        let Connection { namespace, place, .. } = &connection;
        let nesting = Nesting::inherited().with(&object, name, namespace, place, busy_code)?;
        let signals = Signals::listen()?;
        Ok(Self { name, command, timing, grace, connection, nesting, signals, object })
    }
}
