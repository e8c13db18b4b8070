#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| s3dlio_formats_fuzz::targets::run("npy", data));
