//! Somebody asks the leader to resign.

use tokio::sync::{mpsc, oneshot};

/// One who asks, and waits for what is said.
#[derive(Debug)]
pub(crate) struct Ask(oneshot::Sender<String>);

impl Ask {
    /// Says what came of it.
    pub(crate) fn answer(self, line: impl Into<String>) {
        // Whoever asked may have gone.
        let _ = self.0.send(line.into());
    }
}

/// Where asks arrive, at whoever holds the guard.
#[derive(Debug)]
pub(crate) struct Asks(Option<mpsc::Receiver<Ask>>);

impl Asks {
    /// Nobody can ask.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// At most one ask waits; who asks meanwhile is told so.
    pub(crate) fn open() -> (Counter, Self) {
        let (asking, asks) = mpsc::channel(1);
        (Counter(asking), Self(Some(asks)))
    }

    /// The next; never, if nobody can ask. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Ask {
        if let Some(asks) = &mut self.0
            && let Some(ask) = asks.recv().await
        {
            return ask;
        }
        std::future::pending().await
    }
}

/// Where to ask.
#[derive(Clone, Debug)]
pub(crate) struct Counter(mpsc::Sender<Ask>);

impl Counter {
    /// What whoever holds the guard says.
    ///
    /// # Errors
    ///
    /// Why nobody answered.
    pub(crate) async fn ask(&self) -> Result<String, &'static str> {
        let (ask, answer) = oneshot::channel();
        self.0
            .try_send(Ask(ask))
            .map_err(|_| "it has been asked already, and has not answered yet")?;
        answer.await.map_err(|_| "it ended before it could answer")
    }
}
