#![no_main]
//! See `beaconry_fuzz::packets`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::packets::run(data));
