//! See the crate's `tombstone`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strongroom_fuzz::tombstone(data));
