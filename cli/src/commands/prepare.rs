//! What comes before a tenure, be it of a lock or of an election.

use std::{ffi::OsString, time::Duration};

use crate::{
    cli::args::TenureArgs,
    cluster::{connect::Connection, target::Target},
    exec::{lookup, nesting::Chain, signals::Signals},
    exit::{About, Failure, Outcome, code},
};

/// The name, and the command, which is empty if there is none.
pub(crate) type Words<'a> = Result<(&'a str, &'a [OsString]), String>;

/// All that is needed before anything is asked for: checked, and nothing written yet.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) command: &'a [OsString],
    pub(crate) grace: Duration,
    pub(crate) connection: Connection,
    /// With this one in it.
    pub(crate) chain: Chain,
    /// Listened to from now on.
    pub(crate) signals: Signals,
    /// For example ``lock `orders` ``.
    pub(crate) object: String,
}

impl<'a> Start<'a> {
    /// Checks what can be known beforehand. `what` is a lock or an election; `busy` is the exit code if it is held.
    pub(crate) async fn prepare(
        what: &str,
        words: Words<'a>,
        target: &Target,
        tenure: &TenureArgs,
        busy: u8,
    ) -> Outcome<Self> {
        let usage = |line| Failure::new(code::USAGE, line);
        let (name, command) = words.map_err(usage)?;
        let grace = tenure.grace().map_err(usage)?;
        if let Some(program) = command.first() {
            lookup::check(program)?;
        }
        let object = format!("{what} `{name}`");
        let connection = Connection::open(target, tenure.id.as_deref(), &object).await?;
        let About { namespace, server, .. } = connection.about(&object);
        let chain = Chain::inherited().with(&object, name, namespace, server, busy)?;
        let signals = Signals::listen()?;
        Ok(Self { name, command, grace, connection, chain, signals, object })
    }
}
