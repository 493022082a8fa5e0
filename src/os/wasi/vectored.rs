//! Vectored calls, by one call for each slice. The known runtimes and libcs transfer only the first slice, which
//! would look like the end of the data.
//!
//! Invariant: an error after the first transferred byte is left to the next call.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use super::{recv, send};

pub(crate) fn recv_vectored(socket: &impl AsFd, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let bufs = bufs.iter_mut().map(|buf| &mut **buf).filter(|buf| !buf.is_empty());
    one_by_one(bufs, |buf| recv(socket, buf).map(|n| (n, n == buf.len())))
}

pub(crate) fn send_vectored(socket: &impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let bufs = bufs.iter().map(|buf| &**buf).filter(|buf| !buf.is_empty());
    one_by_one(bufs, |buf| send(socket, buf).map(|n| (n, n == buf.len())))
}

/// Calls `moves` for each buffer until one is not moved whole. `moves` returns the number of bytes moved, and whether
/// that was all.
fn one_by_one<B>(
    bufs: impl Iterator<Item = B>,
    moves: impl Fn(B) -> io::Result<(usize, bool)>,
) -> io::Result<usize> {
    let mut sum = 0;
    for buf in bufs {
        match moves(buf) {
            Ok((n, is_all)) => {
                sum += n;
                if !is_all {
                    break;
                }
            }
            // Bytes that were moved are returned; the next call finds the error.
            Err(_) if sum > 0 => break,
            Err(e) => return Err(e),
        }
    }
    Ok(sum)
}
