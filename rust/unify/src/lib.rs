//! No code: `Cargo.toml` names features of dependencies that the wheel or the tests would else build on their own.

#![no_std]
