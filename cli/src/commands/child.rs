//! What commands under locks and under elections have in common.

use std::ffi::OsString;

use jiff::Timestamp;
use leasehold::{Error, Tenure};

use crate::{
    exec::{
        nesting::{self, Chain},
        supervise::End,
    },
    exit::{About, Failure, Outcome, code},
    output::lines::Held,
};

/// The exit code, or what went wrong with the command.
pub(crate) fn conclude(
    end: std::io::Result<End>,
    tenure: &Tenure,
    command: &[OsString],
    about: &About<'_>,
) -> Outcome {
    let program = command.first().map(|program| program.display().to_string()).unwrap_or_default();
    match end {
        Err(error) => Err(Failure::internal(&format!("cannot start `{program}`"), &error)),
        Ok(End { lost: true, .. }) => Err(lost(tenure, Some(&program), about)),
        Ok(End { code: Some(code), .. }) => Ok(code),
        Ok(End { code: None, .. }) => {
            Err(Failure::new(code::INTERNAL, format!("`{program}` was killed and does not end")))
        }
    }
}

/// The tenure was lost, maybe while `program` ran.
pub(crate) fn lost(tenure: &Tenure, program: Option<&str>, about: &About<'_>) -> Failure {
    let why = match tenure.check() {
        Err(Error::Lost { why, .. }) => why.to_string(),
        _ => "renewals failed for too long".into(),
    };
    let (object, namespace) = (about.object, about.namespace);
    let stopped = program.map(|program| format!(" while `{program}` ran, which was stopped"));
    let stopped = stopped.unwrap_or_default();
    let line = format!(
        "{object} in namespace `{namespace}` was lost{stopped}: {why}. Find out what the work had done before it is run again"
    );
    Failure::new(code::LOST, line)
}

/// What this process holds.
#[expect(clippy::disallowed_methods, reason = "written for people and for CMD")]
pub(crate) fn held(tenure: &Tenure, namespace: &str) -> Held {
    let expires_at = Timestamp::now() + tenure.remaining();
    Held {
        name: tenure.name().into(),
        namespace: namespace.into(),
        holder: tenure.holder().into(),
        token: tenure.token().get(),
        expires_at: format!("{expires_at:.3}"),
    }
}

/// What CMD sees, in place of what this process inherited.
pub(crate) fn variables(held: &Held, chain: &Chain) -> Vec<(&'static str, String)> {
    vec![
        ("LEASEHOLD_NAME", held.name.clone()),
        ("LEASEHOLD_NAMESPACE", held.namespace.clone()),
        ("LEASEHOLD_HOLDER", held.holder.clone()),
        ("LEASEHOLD_TOKEN", held.token.to_string()),
        ("LEASEHOLD_EXPIRES_AT", held.expires_at.clone()),
        (chain::VARIABLE, chain.variable()),
    ]
}
