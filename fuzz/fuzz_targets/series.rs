#![no_main]
//! See `beaconry_fuzz::series`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::series::run(data));
