//! The events of `tracing` of one contender, and its metrics if they are enabled.
//!
//! In normal operation all events are at `debug` or below. Warnings are for an operator: a renewal is overdue, or a
//! tenure was lost.

use std::{sync::Arc, time::Duration};

use tracing::{debug, info, trace, warn};

#[cfg(feature = "metrics")]
use super::metrics::{Metrics, Transition};
use crate::{
    api::{error::Loss, token::Token},
    store::{Kind, RecordKey},
};

/// The outcome of an attempt to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Stored,
    Conflict,
    Unknown,
    Refused,
}

/// Why a tenure is in doubt, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    None,
    /// One attempt to renew has had its time and is not confirmed.
    Overdue,
    /// The record prefers another holder, so this one stops renewing.
    Yielding,
}

/// Reports what happens to one contender.
#[derive(Debug)]
pub(crate) struct Telemetry {
    name: Arc<str>,
    kind: &'static str,
    doubt: Doubt,
    /// None for a candidate's own record, because the record of its election has the metrics, and for a lock of a
    /// session.
    #[cfg(feature = "metrics")]
    metrics: Option<Metrics>,
}

/// Calls the metrics, if there are any.
macro_rules! metrics {
    ($self:ident.$($call:tt)*) => {
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &$self.metrics {
            metrics.$($call)*;
        }
    };
}

impl Telemetry {
    pub(crate) fn new(key: &RecordKey) -> Self {
        let kind = kind(key);
        let name = key.name.to_arc();
        Self {
            #[cfg(feature = "metrics")]
            metrics: (kind != CANDIDATE).then(|| Metrics::new(&name, kind)),
            name,
            kind,
            doubt: Doubt::None,
        }
    }

    /// For a lock of a session, which is not renewed: its session has other metrics.
    pub(crate) fn without_metrics(key: &RecordKey) -> Self {
        Self {
            name: key.name.to_arc(),
            kind: kind(key),
            doubt: Doubt::None,
            #[cfg(feature = "metrics")]
            metrics: None,
        }
    }

    pub(crate) fn acquired(&mut self, token: Token, left: Duration) {
        let Self { name, kind, .. } = self;
        debug!(%name, %kind, %token, ?left, "acquired");
        self.doubt = Doubt::None;
        metrics!(self.changed(Transition::Held));
        metrics!(self.held(left));
    }

    /// The deadline was moved.
    pub(crate) fn extended(&self, token: Token, left: Duration) {
        let Self { name, kind, .. } = self;
        trace!(%name, %kind, %token, ?left, "renewed");
        metrics!(self.held(left));
    }

    /// The tenure goes on, in doubt or not. Reports a change of the doubt only.
    pub(crate) fn doubt(&mut self, token: Token, left: Duration, doubt: Doubt) {
        if self.doubt == doubt {
            return;
        }
        let Self { name, kind, .. } = self;
        let known = std::mem::replace(&mut self.doubt, doubt);
        match doubt {
            Doubt::None => info!(%name, %kind, %token, ?left, "no longer in doubt"),
            Doubt::Overdue if *kind != CANDIDATE => {
                warn!(%name, %kind, %token, ?left, "in doubt: a renewal is overdue");
            }
            Doubt::Overdue => debug!(%name, %kind, %token, ?left, "in doubt: a renewal is overdue"),
            Doubt::Yielding => {
                debug!(%name, %kind, %token, ?left, "in doubt: the record asks for another holder");
            }
        }
        if known == Doubt::None {
            metrics!(self.changed(Transition::InDoubt));
        }
    }

    /// The tenure ended without a release.
    pub(crate) fn lost(&self, token: Token, why: Loss) {
        let Self { name, kind, .. } = self;
        // A candidate's own record is written again. An abandoned tenure ended with its runtime or handle.
        if *kind == CANDIDATE || why == Loss::Abandoned {
            debug!(%name, %kind, %token, %why, "lost");
        } else {
            warn!(%name, %kind, %token, %why, "lost");
        }
        metrics!(self.changed(Transition::Lost));
        metrics!(self.ended());
    }

    pub(crate) fn released(&self, token: Token) {
        let Self { name, kind, .. } = self;
        debug!(%name, %kind, %token, "released");
        metrics!(self.changed(Transition::Released));
        metrics!(self.ended());
    }

    pub(crate) fn handed_over(&self, token: Token) {
        let Self { name, kind, .. } = self;
        debug!(%name, %kind, %token, "handed over");
        metrics!(self.changed(Transition::HandedOver));
        metrics!(self.ended());
    }

    /// An attempt to renew was answered, or timed out.
    pub(crate) fn renewal(&self, outcome: Renewal, took: Duration) {
        let Self { name, kind, .. } = self;
        let said = outcome.name();
        trace!(%name, %kind, outcome = said, ?took, "renewal");
        metrics!(self.renewal(outcome, took));
    }
}

impl Renewal {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Conflict => "conflict",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        }
    }
}

#[cfg(feature = "metrics")]
impl Renewal {
    /// Each, in order.
    pub(crate) const ALL: [Self; 4] = [Self::Stored, Self::Conflict, Self::Unknown, Self::Refused];
}

const fn kind(key: &RecordKey) -> &'static str {
    match key.kind {
        Kind::Lock => "lock",
        Kind::Election => "election",
        Kind::Candidate(_) => CANDIDATE,
    }
}

const CANDIDATE: &str = "candidate";
