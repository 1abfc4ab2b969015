//! The environment variables of the options: which of them count as set.

use std::ffi::OsStr;

use clap::{
    Arg, ArgAction, Command,
    builder::{BoolishValueParser, TypedValueParser as _},
};

/// The variable that selects etcd. An empty one is a mistake: without it the lock would be in a cluster of Kubernetes.
const SELECTS_ETCD: &str = "etcd";

/// `command` without the variables that do not count: empty ones, and those of a switch that say no. A switch that a
/// variable turns off must not conflict with other options, and must not require them.
pub(super) fn counting(command: Command) -> Command {
    command.mut_subcommands(|part| {
        let context = part.clone();
        part.mut_args(|arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            let is_off = value.is_some_and(|value| {
                value.is_empty() && arg.get_id() != SELECTS_ETCD
                    || is_switch(&arg) && is_no(&context, &value)
            });
            if is_off { arg.env(None::<&'static str>) } else { arg }
        })
    })
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_no(context: &Command, value: &OsStr) -> bool {
    matches!(BoolishValueParser::new().parse_ref(context, None, value), Ok(false))
}
