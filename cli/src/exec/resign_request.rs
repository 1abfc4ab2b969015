//! Requests to the leader to resign.

use tokio::sync::{mpsc, oneshot};

/// One request. The sender waits for the answer.
#[derive(Debug)]
pub(crate) struct ResignRequest(oneshot::Sender<String>);

impl ResignRequest {
    /// Whether the sender still waits for the answer.
    fn is_wanted(&self) -> bool {
        !self.0.is_closed()
    }

    /// Sends the answer.
    pub(crate) fn answer(self, line: impl Into<String>) {
        // The sender may have gone.
        let _ = self.0.send(line.into());
    }
}

/// The receiving end, at the task that holds the guard.
#[derive(Debug)]
pub(crate) struct ResignRequests(Option<mpsc::Receiver<ResignRequest>>);

impl ResignRequests {
    /// No request can arrive.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// At most one request waits. Another one is refused meanwhile.
    pub(crate) fn open() -> (ResignSender, Self) {
        let (asking, resign_requests) = mpsc::channel(1);
        (ResignSender(asking), Self(Some(resign_requests)))
    }

    /// The next request whose sender still waits, because an old request must not end a later tenure. Pending forever
    /// if none can arrive. Cancel safe.
    pub(crate) async fn next(&mut self) -> ResignRequest {
        if let Some(resign_requests) = &mut self.0 {
            while let Some(request) = resign_requests.recv().await {
                if request.is_wanted() {
                    return request;
                }
            }
        }
        std::future::pending().await
    }
}

/// The sending end.
#[derive(Clone, Debug)]
pub(crate) struct ResignSender(mpsc::Sender<ResignRequest>);

impl ResignSender {
    /// Sends a request, and returns the answer.
    ///
    /// # Errors
    ///
    /// The reason why there is no answer.
    pub(crate) async fn send(&self) -> Result<String, &'static str> {
        let (sender, answer) = oneshot::channel();
        self.0
            .try_send(ResignRequest(sender))
            .map_err(|_| "an earlier request is not answered yet")?;
        answer.await.map_err(|_| "it ended before it answered")
    }
}
