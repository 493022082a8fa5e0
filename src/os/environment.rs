//! Environment variables with a choice of values.
//!
//! Invariant: a value that isn't one of the choices is an error that names the variable, the value and the choices.

use std::ffi::OsStr;
use std::io;

/// Returns the value of an environment variable, if it is set. An empty value counts as unset.
pub(crate) fn read<T>(
    variable: &str,
    wanted: impl FnOnce() -> String,
    parse: impl FnOnce(&str) -> Option<T>,
) -> io::Result<Option<T>> {
    let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.to_str().and_then(parse) {
        Some(value) => Ok(Some(value)),
        None => Err(is_not(variable, &text, &wanted())),
    }
}

#[cold]
fn is_not(variable: &str, text: &OsStr, wanted: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{variable}={} is not {wanted}", text.to_string_lossy()),
    )
}
