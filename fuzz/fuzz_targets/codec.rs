//! Any JSON that a server could answer with, read as a Lease, written over, and read again.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &[u8]| -> Corpus {
    match serde_json::from_slice(text) {
        Ok(whole) => {
            leasehold::check_lease(&whole);
            Corpus::Keep
        }
        Err(_) => Corpus::Reject,
    }
});
