//! The conformance suite, one check after the other, from inside a pod.
//!
//! The only argument is a second namespace, in which the pod has the same permissions as in its own.

#![expect(clippy::print_stdout, reason = "the program prints its progress")]

use leasehold::{Kubernetes, Options, conformance};

#[tokio::main]
async fn main() -> leasehold::Result<()> {
    let Some(other) = std::env::args().nth(1) else {
        eprintln!("usage: conformance OTHER_NAMESPACE");
        std::process::exit(2);
    };
    let a = Kubernetes::connect(Options::default()).await?;
    let b = Kubernetes::connect(Options::default()).await?;
    let pair = conformance::Pair::new(&a, &b).other(&other);
    for check in conformance::CHECKS {
        println!("{}", check.name());
        check.run(pair).await; // panics if the guarantee is broken
    }
    println!("all {} hold", conformance::CHECKS.len());
    Ok(())
}
