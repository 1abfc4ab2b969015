//! Holders and queue of one lock, as pure functions on a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use serde::{Deserialize, Serialize};

use super::{
    candidate::{self, Candidate},
    claim::{Claim, Holder, Mode},
};
use crate::protocol::{record::Nonce, session::SessionId};

/// How many claims may wait in one record. A claim takes up to 60 bytes, and each write carries them all.
pub(crate) const MAX_QUEUE: usize = 128;

/// The version of the text.
const FORMAT: u32 = 1;

/// Holders and queue of one lock, both in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) holders: Vec<Holder>,
    pub(crate) queue: Vec<Claim>,
    /// Claims that were added without a condition, behind the queue. The next hand-over puts them into it, in the order
    /// in which its writer saw them come.
    pub(crate) joined: Vec<Claim>,
    /// The candidates in an election, by the nonce of their claim.
    candidates: BTreeMap<u64, Candidate>,
    /// The tokens of tenures, by the nonce of their claim, as their own sessions have stated them. The write that grants a
    /// tenure cannot state its token, because the token is the version which that write gets. Only the holder knows it:
    /// if its session saw the grant late, the token is a later version.
    tokens: BTreeMap<u64, NonZeroU64>,
    /// Counts writes that change nothing else: see [`touch`](Self::touch).
    touched: u32,
}

/// The text of a line in the record, as JSON. Joined claims are not in it: each of them is stored apart.
#[derive(Serialize, Deserialize)]
struct Text {
    v: u32,
    #[serde(default)]
    holders: Vec<String>,
    #[serde(default)]
    queue: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    candidates: BTreeMap<String, candidate::Text>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<String, serde_json::Value>,
    #[serde(default, skip_serializing_if = "is_zero")]
    touched: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Line {
    /// `None` if `text` is not a line of this version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text: Text = serde_json::from_str(text).ok().filter(|text: &Text| text.v == FORMAT)?;
        let holders = text.holders.iter().map(|holder| holder.parse().ok()).collect::<Option<_>>();
        let queue = text.queue.iter().map(|claim| claim.parse().ok()).collect::<Option<_>>();
        let candidates = text.candidates.into_iter().map(|(nonce, candidate)| {
            Some((nonce.parse::<Nonce>().ok()?.0, Candidate::from(candidate)))
        });
        let candidates = candidates.collect::<Option<_>>()?;
        // Nothing is decided by a token, so one that cannot be read is left out.
        let tokens = text.tokens.into_iter().filter_map(|(nonce, token)| {
            Some((nonce.parse::<Nonce>().ok()?.0, NonZeroU64::new(token.as_u64()?)?))
        });
        let mut line = Self {
            holders: holders?,
            queue: queue?,
            joined: Vec::new(),
            candidates,
            tokens: tokens.collect(),
            touched: text.touched,
        };
        line.forget_absent();
        // A session remembers the lines of thousands of locks. Most of them have one holder, in four places.
        line.holders.shrink_to_fit();
        Some(line)
    }

    /// Whether the other line says the same of everything but tokens.
    pub(crate) fn differs_in_tokens_only(&self, other: &Self) -> bool {
        let tokens = other.tokens.clone();
        self.tokens != tokens && Self { tokens, ..self.clone() } == *other
    }

    pub(crate) fn to_text(&self) -> String {
        let text = Text {
            v: FORMAT,
            holders: self.holders.iter().map(ToString::to_string).collect(),
            queue: self.queue.iter().map(ToString::to_string).collect(),
            candidates: self
                .candidates
                .iter()
                .map(|(nonce, candidate)| (Nonce(*nonce).to_string(), candidate.into()))
                .collect(),
            tokens: (self.tokens.iter())
                .map(|(nonce, token)| (Nonce(*nonce).to_string(), token.get().into()))
                .collect(),
            touched: self.touched,
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// The session that `spec.holderIdentity` names: that of the first holder.
    pub(crate) fn holder(&self) -> Option<&SessionId> {
        self.holders.first().map(|holder| &holder.claim.session)
    }

    /// The sessions of all holders: the labels of the record.
    pub(crate) fn held_by(&self) -> BTreeSet<&SessionId> {
        self.holders.iter().map(|holder| &holder.claim.session).collect()
    }

    /// The sessions of all claims.
    pub(crate) fn sessions(&self) -> BTreeSet<&SessionId> {
        let holders = self.holders.iter().map(|holder| &holder.claim);
        holders.chain(self.waiting()).map(|claim| &claim.session).collect()
    }

    /// The claim that decides the mode of the lock: the first one.
    pub(crate) fn first(&self) -> Option<&Claim> {
        self.holders.first().map(|holder| &holder.claim).or_else(|| self.waiting().next())
    }

    /// The claims that wait, in order.
    pub(crate) fn waiting(&self) -> impl DoubleEndedIterator<Item = &Claim> {
        self.queue.iter().chain(&self.joined)
    }

    /// How many claims wait.
    pub(crate) const fn length(&self) -> usize {
        self.queue.len() + self.joined.len()
    }

    pub(crate) fn held(&self, session: &SessionId, nonce: Nonce) -> Option<&Holder> {
        self.holders.iter().find(|holder| is(&holder.claim, session, nonce))
    }

    /// The number of claims before this one in the queue.
    pub(crate) fn position(&self, session: &SessionId, nonce: Nonce) -> Option<usize> {
        self.waiting().position(|claim| is(claim, session, nonce))
    }

    /// Adds a claim at the end of the queue. False if the queue is full, or has the claim already.
    pub(crate) fn enqueue(&mut self, claim: Claim) -> bool {
        let fits = !self.has(&claim.session, claim.nonce) && self.length() < MAX_QUEUE;
        if fits {
            self.queue.append(&mut self.joined);
            self.queue.push(claim);
        }
        fits
    }

    /// Whether this claim holds the lock, or waits for it.
    pub(crate) fn has(&self, session: &SessionId, nonce: Nonce) -> bool {
        self.held(session, nonce).is_some() || self.position(session, nonce).is_some()
    }

    /// Puts the joined claims into an order: those with these nonces first, in this order.
    pub(crate) fn order_joined(&mut self, nonces: &[Nonce]) {
        let rank = |claim: &Claim| nonces.iter().position(|nonce| *nonce == claim.nonce);
        self.joined.sort_by_key(|claim| rank(claim).unwrap_or(usize::MAX));
    }

    /// Removes claims of `session`, from holders and queue, unless `keep` returns true: a release, or a cancel.
    pub(crate) fn retain(&mut self, session: &SessionId, keep: impl Fn(Nonce) -> bool) {
        let stays = |claim: &Claim| claim.session != *session || keep(claim.nonce);
        self.holders.retain(|holder| stays(&holder.claim));
        self.queue.retain(stays);
        self.joined.retain(stays);
    }

    /// Removes sessions that are known to be over. The order of the others stays.
    pub(crate) fn pass_over(&mut self, over: &BTreeSet<SessionId>) {
        self.holders.retain(|holder| !over.contains(&holder.claim.session));
        self.queue.retain(|claim| !over.contains(&claim.session));
        self.joined.retain(|claim| !over.contains(&claim.session));
    }

    /// Whether the first claim that waits fits next to the holders.
    pub(crate) fn may_promote(&self) -> bool {
        self.waiting().next().is_some_and(|head| self.slot_for(head.mode).is_some())
    }

    /// Moves claims from the head of the queue to the holders while the head fits. No claim overtakes another one.
    pub(crate) fn promote(&mut self) {
        if self.may_promote() {
            self.queue.append(&mut self.joined);
        }
        while let Some(head) = self.queue.first()
            && let Some(slot) = self.slot_for(head.mode)
        {
            let claim = self.queue.remove(0);
            self.holders.push(Holder { claim, slot });
        }
    }

    /// What the claim with this nonce says of its candidate, if a candidate made it.
    pub(crate) fn candidate(&self, nonce: Nonce) -> Option<&Candidate> {
        self.candidates.get(&nonce.0)
    }

    /// Describes the candidate that made a claim of `session`, if the claim is in the line.
    pub(crate) fn describe(&mut self, session: &SessionId, nonce: Nonce, candidate: &Candidate) {
        if self.has(session, nonce) {
            self.candidates.insert(nonce.0, candidate.clone());
        }
    }

    /// The token of the holder with this nonce, if its session has stated it.
    pub(crate) fn token(&self, nonce: Nonce) -> Option<NonZeroU64> {
        let holds = self.holders.iter().any(|holder| holder.claim.nonce == nonce);
        self.tokens.get(&nonce.0).filter(|_| holds).copied()
    }

    /// States the token of a tenure of `session`.
    pub(crate) fn state_token(&mut self, session: &SessionId, nonce: Nonce, token: NonZeroU64) {
        if self.held(session, nonce).is_some() {
            self.tokens.insert(nonce.0, token);
        }
    }

    /// Removes the descriptions and the tokens of claims that are not in the line any more.
    pub(crate) fn forget_absent(&mut self) {
        if self.tokens.is_empty() && self.candidates.is_empty() {
            return;
        }
        let holders = self.holders.iter().map(|holder| holder.claim.nonce.0);
        let holders: BTreeSet<_> = holders.collect();
        self.tokens.retain(|nonce, _| holders.contains(nonce));
        let waiting: BTreeSet<_> = self.waiting().map(|claim| claim.nonce.0).collect();
        self.candidates.retain(|nonce, _| holders.contains(nonce) || waiting.contains(nonce));
    }

    /// Makes the content another one, so that a write without any other change is a new version.
    pub(crate) const fn touch(&mut self) {
        self.touched = self.touched.wrapping_add(1);
    }

    /// The slot that a claim with this mode would get now, `None` if it does not fit next to the holders.
    fn slot_for(&self, mode: Mode) -> Option<u16> {
        let all = |mode: Mode| self.holders.iter().all(|holder| holder.claim.mode == mode);
        match mode {
            Mode::Exclusive => self.holders.is_empty().then_some(0),
            Mode::Shared => all(Mode::Shared).then_some(0),
            Mode::Slots(slots) => {
                let used: BTreeSet<_> = self.holders.iter().map(|holder| holder.slot).collect();
                (0..slots.get()).find(|slot| !used.contains(slot)).filter(|_| all(mode))
            }
        }
    }
}

fn is(claim: &Claim, session: &SessionId, nonce: Nonce) -> bool {
    claim.session == *session && claim.nonce == nonce
}
