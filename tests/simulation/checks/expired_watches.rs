//! C6: who was told that a version has gone lists before it watches again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, tokens::Life};

/// Whose watch, and of what.
type Place = (Life, String);

#[derive(Debug, Default)]
pub(crate) struct Outdated {
    listed: BTreeMap<Place, u64>,
    gone: BTreeSet<Place>,
}

impl Outdated {
    pub(crate) fn listed(&mut self, place: Place, at: u64) {
        self.gone.remove(&place);
        self.listed.insert(place, at);
    }

    /// A watch that was asked for at `sent` is told so. One that was given up since is not heard of any more.
    pub(crate) fn gone(&mut self, place: Place, sent: u64) {
        if self.listed.get(&place).is_none_or(|&listed| listed <= sent) {
            self.gone.insert(place);
        }
    }

    /// A watch is asked for.
    pub(crate) fn check(&self, place: &Place) -> Option<Violation> {
        let what = || format!("{place:?} is watched from a version that the server called gone");
        self.gone.contains(place).then(|| Violation::new("C6", what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_is_asked_for_again_without_a_list_is_found() {
        let place = || ((0, 1), "metadata.name=a".to_owned());
        let mut outdated = Outdated::default();
        outdated.listed(place(), 1);
        assert_eq!(outdated.check(&place()), None);
        outdated.gone(place(), 2);
        assert_eq!(outdated.check(&place()).unwrap().check, "C6");
        outdated.listed(place(), 3);
        outdated.gone(place(), 2);
        assert_eq!(outdated.check(&place()), None, "the first watch was given up");
    }
}
