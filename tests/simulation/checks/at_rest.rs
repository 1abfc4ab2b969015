//! C6: a process without users sends no request, and it leaves no watch and no task behind.

use leasehold_test_support::Violation;

/// Checks a request that was sent at `now`. From `since` on, a process is at rest: all its users have left, and every
/// record of theirs has had a full ttl to expire.
pub(crate) fn check_requests(now: u64, since: Option<u64>) -> Option<Violation> {
    let since = since.filter(|&since| now > since)?;
    Some(Violation::new(
        "C6",
        format!("a request at {now} us by a process at rest since {since} us"),
    ))
}

/// Checks the number of tasks at rest: only the client's own task may remain, and only while the handle exists. A
/// task of a watch or of a contender is a violation.
pub(crate) fn check_tasks(host: usize, tasks: usize, has_handle: bool) -> Option<Violation> {
    let expected = usize::from(has_handle);
    let what =
        || format!("host {host} has {tasks} tasks at rest, but its client needs only {expected}");
    (tasks > expected).then(|| Violation::new("C6", what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_at_rest_is_a_violation() {
        assert_eq!(check_requests(10, None), None, "the process has users");
        assert_eq!(check_requests(10, Some(10)), None);
        assert!(check_requests(11, Some(10)).is_some_and(|found| found.check == "C6"));
    }

    #[test]
    fn a_task_at_rest_is_a_violation() {
        assert_eq!(check_tasks(0, 1, true), None);
        assert!(
            check_tasks(0, 2, true).is_some_and(|found| found.check == "C6"),
            "a task of a watch or of a contender"
        );
        assert!(
            check_tasks(0, 1, false).is_some_and(|found| found.check == "C6"),
            "the task of the client, after the handle was dropped"
        );
    }
}
