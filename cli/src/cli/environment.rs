//! The environment variables of the options: which of them count as set.

use std::{
    any::TypeId,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{
    Arg, ArgAction, Command,
    builder::{BoolishValueParser, TypedValueParser as _},
    error::ErrorKind,
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

/// The error for a text that is not UTF-8, with the name of the variable or the word. clap names neither.
pub(super) fn named_invalid(command: &mut Command, words: &[OsString]) -> Option<clap::Error> {
    let part = command.find_subcommand_mut(words.get(1)?)?;
    let variables = part.get_arguments().filter(|arg| !takes_bytes(arg)).filter_map(Arg::get_env);
    let is_invalid =
        |name: &&OsStr| std::env::var_os(name).is_some_and(|value| value.to_str().is_none());
    let line = if let Some(name) = variables.into_iter().find(is_invalid) {
        format!("the variable {} is not UTF-8", name.display())
    } else {
        let word = words.iter().find(|word| word.to_str().is_none())?;
        format!("the word {:?} is not UTF-8", word.to_string_lossy())
    };
    Some(part.error(ErrorKind::InvalidUtf8, line))
}

/// Whether a value may be any bytes, as a path may.
fn takes_bytes(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_no(context: &Command, value: &OsStr) -> bool {
    matches!(BoolishValueParser::new().parse_ref(context, None, value), Ok(false))
}
