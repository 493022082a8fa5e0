//! What the library itself says of a registration, in the same words for every source and on every backend.
//!
//! A kernel that keeps registrations says the same by a number (`EEXIST`, `ENOENT`), and one that keeps none says
//! nothing. So the numbers are given up for words: the kind of the error is what programs can rely on. Every other
//! error of a registration is the system's own, with its number.

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

/// The error of a `register` in our words.
#[cold]
#[inline(never)]
pub(crate) fn of_register(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::AlreadyExists => already_registered(),
        _ => error,
    }
}

/// The error of a `reregister` or `deregister` in our words.
#[cold]
#[inline(never)]
pub(crate) fn of_change(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => not_registered(),
        _ => error,
    }
}
