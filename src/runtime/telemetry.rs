//! What a contender says of itself: events of `tracing`, and metrics where they are wanted.
//!
//! Nothing above `debug` is said in normal life. What an operator should see is a warning: a renewal that is
//! overdue, and a tenure that ended without having been given back.

use std::{sync::Arc, time::Duration};

use tracing::{debug, info, trace, warn};

#[cfg(feature = "metrics")]
use super::metrics::{Metrics, Transition};
use crate::{
    api::{error::Loss, token::Token},
    store::{Kind, RecordKey},
};

/// What became of an attempt to renew.
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
    /// A renewal had the time of one attempt and is not confirmed.
    Overdue,
    /// The record asks for another holder, for whom this one stops to renew.
    Yielding,
}

/// The voice of one contender.
#[derive(Debug)]
pub(crate) struct Telemetry {
    name: Arc<str>,
    kind: &'static str,
    doubt: Doubt,
    /// None for a candidate's own record: the election's tells what there is to tell.
    #[cfg(feature = "metrics")]
    meter: Option<Metrics>,
}

/// Calls the meter, where there is one.
macro_rules! meter {
    ($self:ident.$($call:tt)*) => {
        #[cfg(feature = "metrics")]
        if let Some(meter) = &$self.meter {
            meter.$($call)*;
        }
    };
}

impl Telemetry {
    pub(crate) fn new(key: &RecordKey) -> Self {
        let kind = match key.kind {
            Kind::Lock => "lock",
            Kind::Election => "election",
            Kind::Candidate(_) => CANDIDATE,
        };
        let name = key.name.to_arc();
        Self {
            #[cfg(feature = "metrics")]
            meter: (kind != CANDIDATE).then(|| Metrics::new(&name, kind)),
            name,
            kind,
            doubt: Doubt::None,
        }
    }

    pub(crate) fn acquired(&mut self, token: Token, left: Duration) {
        let Self { name, kind, .. } = self;
        debug!(%name, %kind, %token, ?left, "acquired");
        self.doubt = Doubt::None;
        meter!(self.changed(Transition::Held));
        meter!(self.held(left));
    }

    /// The deadline was moved.
    pub(crate) fn extended(&self, token: Token, left: Duration) {
        let Self { name, kind, .. } = self;
        trace!(%name, %kind, %token, ?left, "renewed");
        meter!(self.held(left));
    }

    /// The tenure goes on, in doubt or not.
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
            meter!(self.changed(Transition::InDoubt));
        }
    }

    /// The tenure ended without having been given back.
    pub(crate) fn lost(&self, token: Token, why: Loss) {
        let Self { name, kind, .. } = self;
        // A candidate's record is written anew; who is abandoned was ended with the runtime.
        if *kind == CANDIDATE || why == Loss::Abandoned {
            debug!(%name, %kind, %token, %why, "lost");
        } else {
            warn!(%name, %kind, %token, %why, "lost");
        }
        meter!(self.changed(Transition::Lost));
        meter!(self.ended());
    }

    pub(crate) fn released(&self, token: Token) {
        let Self { name, kind, .. } = self;
        debug!(%name, %kind, %token, "released");
        meter!(self.changed(Transition::Released));
        meter!(self.ended());
    }

    pub(crate) fn handed_over(&self, token: Token) {
        let Self { name, kind, .. } = self;
        debug!(%name, %kind, %token, "handed over");
        meter!(self.changed(Transition::HandedOver));
        meter!(self.ended());
    }

    /// An attempt to renew was answered, or given up.
    pub(crate) fn renewal(&self, outcome: Renewal, took: Duration) {
        let Self { name, kind, .. } = self;
        let said = outcome.name();
        trace!(%name, %kind, outcome = said, ?took, "renewal");
        meter!(self.renewal(outcome, took));
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

const CANDIDATE: &str = "candidate";
