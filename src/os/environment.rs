//! Environment variables with a choice of values.
//!
//! Invariant: each variable is read once in a process, and is ignored if the process may do more than its user. A value
//! that isn't one of the choices is an error that names the variable, the value and the choices.

use std::env;
use std::ffi::OsString;
use std::io;
use std::sync::OnceLock;

#[cfg(all(unix, not(miri)))]
use super::is_privileged;

/// These systems start no program with more rights than its user has, nor does Miri, which lacks the calls.
#[cfg(any(not(unix), miri))]
fn is_privileged() -> bool {
    false
}

/// One variable.
pub(crate) struct Variable {
    name: &'static str,
    value: OnceLock<Option<OsString>>,
}

impl Variable {
    pub(crate) const fn new(name: &'static str) -> Variable {
        Variable { name, value: OnceLock::new() }
    }

    /// Returns the value, if there is one. An empty value counts as unset.
    ///
    /// Fails with `InvalidInput` if `parse` returns `None`; `wanted` names the choices.
    pub(crate) fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Option<T>,
        wanted: impl FnOnce() -> String,
    ) -> io::Result<Option<T>> {
        let read = || match is_privileged() {
            true => None,
            false => env::var_os(self.name).filter(|value| !value.is_empty()),
        };
        let Some(value) = self.value.get_or_init(read) else { return Ok(None) };
        match value.to_str().and_then(parse) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{}={} is not {}", self.name, value.to_string_lossy(), wanted()),
            )),
        }
    }
}
