//! The error numbers that a world's sockets return, as Linux chooses them.
//!
//! Invariant: a number becomes an error here alone.

use std::io;

pub(super) use crate::os::errno::*;

pub(super) fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}
