//! The variables of this library, so that a misspelt one does not go unnoticed.

/// Names of all `S3DLIO_*` variables that anything here reads.
pub const VARIABLES: [&str; 18] = [
    "S3DLIO_CACHE",
    "S3DLIO_CLIENT_ID",
    "S3DLIO_CONNECT_TIMEOUT_SECS",
    "S3DLIO_DECODE_THREADS",
    "S3DLIO_DIRECT_FALLBACK",
    "S3DLIO_IO_THREADS",
    "S3DLIO_LOG",
    "S3DLIO_MAX_RETRY_ATTEMPTS",
    "S3DLIO_MEMORY_BUDGET",
    "S3DLIO_MPU_PUT_VERIFY",
    "S3DLIO_OPERATION_TIMEOUT_SECS",
    "S3DLIO_PUT_VERIFY",
    "S3DLIO_READ_CACHE",
    "S3DLIO_READ_CACHE_BYTES",
    "S3DLIO_RT_THREADS",
    "S3DLIO_SIZE_CACHE_MAX_ENTRIES",
    "S3DLIO_SIZE_CACHE_TTL_SECS",
    "S3DLIO_UPLOAD_CHECKSUM",
];

/// Variables of the environment that begin as ours do and that nothing reads.
#[must_use]
pub fn unknown_variables() -> Vec<String> {
    let mut names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("S3DLIO_") && !VARIABLES.contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    names
}
