//! The completion port of a `Poll`.
//!
//! Invariant: it is lent, never given away.

use std::io;
use std::os::windows::io::BorrowedHandle;

use crate::poll::Registry;

/// Returns the I/O completion port that a [`Poll`](crate::Poll) waits on.
///
/// Its packets belong to the `Poll`: receive none, post none, and associate no handle with it.
///
/// # Errors
///
/// `Unsupported` on a simulated `Poll`, which has no port.
///
/// # Examples
///
/// ```
/// use std::os::windows::io::AsRawHandle;
/// use wakeful::{windows, Poll};
///
/// # fn main() -> std::io::Result<()> {
/// let poll = Poll::new()?;
/// println!("{:?}", windows::completion_port(poll.registry())?.as_raw_handle());
/// # Ok(())
/// # }
/// ```
pub fn completion_port(registry: &Registry) -> io::Result<BorrowedHandle<'_>> {
    Ok(registry.engine().selector.completions()?.port().handle())
}
