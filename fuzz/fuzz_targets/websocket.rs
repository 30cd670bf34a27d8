#![no_main]
//! See `beaconry_fuzz::websocket`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| beaconry_fuzz::websocket::run(data));
