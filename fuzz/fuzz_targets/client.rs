#![no_main]
//! See `beaconry_fuzz::client`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::client::run(data));
