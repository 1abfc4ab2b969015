//! Decodes any JSON as a Lease, encodes a claim over it, and decodes the result.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &[u8]| -> Corpus {
    match serde_json::from_slice(text) {
        Ok(lease) => {
            leasehold::check_lease(&lease);
            Corpus::Keep
        }
        Err(_) => Corpus::Reject,
    }
});
