#![no_main]
//! See `beaconry_fuzz::journal`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::journal::run(data));
