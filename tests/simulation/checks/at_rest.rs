//! C6: a process without users sends no request, and it leaves no watch and no task behind.

use super::Violation;

/// A request, where none may be sent any more from `rest` on: all users have gone, and what they left has had its
/// time to live.
pub(crate) fn check_requests(now: u64, since: Option<u64>) -> Option<Violation> {
    let since = since.filter(|&since| now > since)?;
    Some(Violation::new("C6", format!("a request at {now} us, at rest since {since} us")))
}

/// What a process has left at rest: the client's own task if there is a handle still, and no task of a watch or of
/// a contender.
pub(crate) fn check_tasks(host: usize, tasks: usize, has_handle: bool) -> Option<Violation> {
    let expected = usize::from(has_handle);
    let what = || format!("host {host} has {tasks} tasks at rest, and its client only {expected}");
    (tasks > expected).then(|| Violation::new("C6", what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_at_rest_is_a_violation() {
        assert_eq!(check_requests(10, None), None, "there are users");
        assert_eq!(check_requests(10, Some(10)), None);
        assert!(check_requests(11, Some(10)).is_some());
    }

    #[test]
    fn a_task_at_rest_is_a_violation() {
        assert_eq!(check_tasks(0, 1, true), None);
        assert!(check_tasks(0, 2, true).is_some(), "a watch, or a contender");
        assert!(check_tasks(0, 1, false).is_some(), "the client, of a handle that has gone");
    }
}
