#![no_main]
//! See `beaconry_fuzz::messages`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::messages::run(data));
