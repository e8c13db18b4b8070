//! The error of parsers, which know no store: they and this file are all that the fuzz targets are made of.

/// What is wrong with bytes, for parsers that do not know where these came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub String);

/// A parser's error from a text.
pub(crate) fn wrong<T>(detail: impl Into<String>) -> std::result::Result<T, FormatError> {
    Err(FormatError(detail.into()))
}
