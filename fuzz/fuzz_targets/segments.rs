#![no_main]
//! See `beaconry_fuzz::segments`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::segments::run(data));
