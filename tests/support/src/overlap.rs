//! Check C1: at no time do two holders believe that they hold the same name.

use crate::Violation;

/// The time in which a holder believed that it held, in microseconds of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The token of the tenure.
    pub token: u64,
    /// The start.
    pub since: u64,
    /// The end, which does not belong to it.
    pub until: u64,
}

/// Checks all tenures of one name, in any order.
pub fn check(name: &str, tenures: &mut [Interval]) -> Option<Violation> {
    tenures.sort_unstable_by_key(|tenure| (tenure.since, tenure.token));
    let mut last: Option<Interval> = None;
    for &tenure in tenures.iter() {
        if let Some(before) = last.filter(|before| tenure.since < before.until) {
            let what = format!("`{name}` is held twice: {before:?} and {tenure:?}");
            return Some(Violation::new("C1", what));
        }
        last = Some(tenure);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn held(token: u64, since: u64, until: u64) -> Interval {
        Interval { token, since, until }
    }

    #[test]
    fn tenures_that_touch_do_not_overlap() {
        assert_eq!(check("a", &mut [held(2, 20, 30), held(1, 10, 20)]), None);
    }

    #[test]
    fn an_overlap_is_found_in_any_order() {
        let found = check("a", &mut [held(2, 19, 30), held(1, 10, 20)]).unwrap();
        assert_eq!(found.check, "C1");
    }
}
