#![no_main]
//! See `beaconry_fuzz::topics`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::topics::run(data));
