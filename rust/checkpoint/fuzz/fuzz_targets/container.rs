#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| s3dlio_checkpoint_fuzz::targets::run("container", data));
