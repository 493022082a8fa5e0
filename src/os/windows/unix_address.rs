//! Unix-domain addresses: conversions between paths and the kernel's addresses.
//!
//! Invariant: a path converted to the kernel and back stays the same.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::slice;

use socket2::SockAddr;
use windows_sys::Win32::Networking::WinSock::{AF_UNIX, SOCKADDR_UN};

/// Returns the address for the kernel. The path must be UTF-8 of less than 108 bytes.
pub(crate) fn to_kernel(path: &Path) -> io::Result<SockAddr> {
    SockAddr::unix(path)
}

/// Returns the path of an address from the kernel, or `None` for an unnamed socket.
pub(crate) fn from_kernel(addr: &SockAddr) -> Option<PathBuf> {
    // The path follows the family.
    let offset = mem::size_of::<u16>();
    let length = (addr.len() as usize).min(mem::size_of::<SOCKADDR_UN>()).checked_sub(offset)?;
    if addr.family() != AF_UNIX {
        return None;
    }
    // SAFETY: a `SockAddr` has room for every address, initialized, and `length` bytes are within the path.
    let bytes = unsafe { slice::from_raw_parts(addr.as_ptr().cast::<u8>().add(offset), length) };
    // The kernel's length may include the final zero, or all of the structure.
    let path = bytes.split(|&byte| byte == 0).next().filter(|path| !path.is_empty())?;
    Some(PathBuf::from(String::from_utf8_lossy(path).into_owned()))
}
