#![no_main]
//! See `beaconry_fuzz::broker`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::broker::run(data));
