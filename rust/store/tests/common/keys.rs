//! The environment of tests that use a server for S3.

use std::sync::Once;

/// Keys, and whatever else all tests of a binary want, set once; settings of the machine that would lead elsewhere are gone.
pub fn keys(more: &[(&str, &str)]) {
    static SET: Once = Once::new();
    SET.call_once(|| {
        // SAFETY: every test that uses a network store calls this first, so nobody reads a variable that is changing.
        unsafe {
            std::env::set_var("AWS_ACCESS_KEY_ID", "AKTEST");
            std::env::set_var("AWS_SECRET_ACCESS_KEY", "secret");
            for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "S3_ADDRESSING_STYLE", "AWS_SKIP_SIGNATURE"] {
                std::env::remove_var(name);
            }
            more.iter().for_each(|(name, value)| std::env::set_var(name, value));
        }
    });
}
