//! stub
#[derive(Debug, thiserror::Error)]
#[error("zip")]
pub struct ZipError;
#[derive(Debug, thiserror::Error)]
#[error("pickle")]
pub struct PickleError;
