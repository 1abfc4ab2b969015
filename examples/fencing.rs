//! Fencing: a resource that refuses old tokens, and what is lost without that.
//!
//! ```sh
//! cargo run --example fencing    # in memory, in simulated time, so it ends at once
//! ```
//!
//! A lock alone cannot protect a resource that is reached over a network. Its holder may pause after
//! `check()`, or its request may be on its way for longer than its tenure lasts. Only the resource can
//! recognise a request of an earlier tenure, by the token: tokens grow from tenure to tenure.
//!
//! The resource must remember the largest token *from the first read on*. If only writes count, an old
//! write that arrives between a new holder's read and write is accepted, and then overwritten.
//!
//! In SQL the same is one condition in one statement, for the read too (`.. returning balance`):
//! `update account set token = $1 where id = $2 and token <= $1`.

#![expect(clippy::print_stdout, reason = "an example reports on its terminal")]

use std::{error::Error, time::Duration};

use leasehold::{Fault, LockOptions, Memory, Options, Sync as _, Token};
use tokio::time::sleep;

/// Which requests the resource checks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fence {
    Absent,
    WritesOnly,
    FromFirstRead,
}

/// When the write of the old holder arrives at the resource.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Late {
    /// Between the new holder's read and its write.
    BeforeNewWrite,
    /// After the last write of the new holder.
    AfterNewWrite,
}

/// The resource: a balance, and the largest token seen.
#[derive(Debug)]
struct Account {
    fence: Fence,
    balance: u32,
    largest: Option<Token>,
}

#[derive(Debug, thiserror::Error)]
#[error("token {token} is older than {largest}")]
struct Stale {
    token: Token,
    largest: Token,
}

impl Account {
    fn read(&mut self, token: Token) -> Result<u32, Stale> {
        if self.fence == Fence::FromFirstRead {
            self.admit(token)?;
        }
        Ok(self.balance)
    }

    fn write(&mut self, token: Token, balance: u32) -> Result<(), Stale> {
        if self.fence != Fence::Absent {
            self.admit(token)?;
        }
        self.balance = balance;
        Ok(())
    }

    /// Refuses tokens smaller than the largest seen, and remembers a larger one.
    fn admit(&mut self, token: Token) -> Result<(), Stale> {
        match self.largest {
            Some(largest) if token < largest => Err(Stale { token, largest }),
            _ => {
                self.largest = Some(token);
                Ok(())
            }
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("An account with 100 on it. The old holder adds 10, the new one 50: 160 is right.");
    println!("If the old write is refused, its sender knows, and can start again.\n");
    println!("{:<16}{:<18}{:>8}  {:<36}", "fence", "old write comes", "balance", "old write");
    for fence in [Fence::Absent, Fence::WritesOnly, Fence::FromFirstRead] {
        for late in [Late::BeforeNewWrite, Late::AfterNewWrite] {
            let mut account = Account { fence, balance: 100, largest: None };
            let outcome = two_deposits(&mut account, late).await?;
            let balance = account.balance;
            // Right: the account contains all accepted deposits, and no refused one.
            let right = 150 + if outcome.is_ok() { 10 } else { 0 };
            let result = match outcome {
                Err(stale) => format!("refused: {stale}"),
                Ok(()) => format!("accepted; a deposit of {} is lost", right - balance),
            };
            println!("{:<16}{:<18}{balance:>8}  {result}", name(fence), name(late));
            let safe = fence == Fence::FromFirstRead
                || (fence, late) == (Fence::WritesOnly, Late::AfterNewWrite);
            if safe != (balance == right) {
                return Err("the result differs from the description".into());
            }
        }
    }
    Ok(())
}

/// Two holders change one account, one after the other. The write of the first arrives late.
async fn two_deposits(
    account: &mut Account,
    late: Late,
) -> Result<Result<(), Stale>, Box<dyn Error>> {
    let old = Memory::default();
    let new = old.another(Options::default())?;

    let held = old.lock("account", LockOptions::default()).await?;
    let token = held.check()?;
    let seen = account.read(token)?;
    // From here on the network of the old holder fails: its write is delayed, and its renewals are lost.
    old.disturb(Some(Fault::LoseRequest));

    // Granted after the ttl has passed. A lock cannot guarantee more than that.
    let next = new.lock("account", LockOptions::default()).await?;
    let balance = account.read(next.check()?)?;
    let mut arrived = Ok(());
    if late == Late::BeforeNewWrite {
        arrived = account.write(token, seen + 10);
    }
    sleep(Duration::from_secs(1)).await;
    account.write(next.check()?, balance + 50)?;
    if late == Late::AfterNewWrite {
        arrived = account.write(token, seen + 10);
    }
    Ok(arrived)
}

/// A variant's name in words.
fn name(variant: impl std::fmt::Debug) -> String {
    let mut words = String::new();
    for c in format!("{variant:?}").chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}
