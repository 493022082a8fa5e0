//! The errors of a registration that the library defines: the same text for every source and on every backend.
//!
//! Some kernels keep registrations and report these errors by number (`EEXIST`, `ENOENT`); others keep none and report
//! nothing. So the text replaces the number, and programs rely on the kind of the error.
//!
//! Invariant: every other error of a registration is the system's, with its number.

use std::io::{self, ErrorKind};

#[cold]
#[inline(never)]
pub(crate) fn already_registered() -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, "the source is already registered with a `Poll`")
}

#[cold]
#[inline(never)]
pub(crate) fn not_registered() -> io::Error {
    io::Error::new(ErrorKind::NotFound, "the source is not registered with this `Poll`")
}

/// Returns the error of a `register` with the library's text.
#[cold]
#[inline(never)]
pub(crate) fn of_register(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::AlreadyExists => already_registered(),
        _ => error,
    }
}

/// Returns the error of a `reregister` or `deregister` with the library's text.
#[cold]
#[inline(never)]
pub(crate) fn of_change(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => not_registered(),
        _ => error,
    }
}
