//! Unix-domain addresses: conversions between std's type, whose fields are private, and the kernel's.
//!
//! Invariant: an address converted to the kernel and back stays the same.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::SockAddr;

/// Returns the address for the kernel.
pub(crate) fn to_kernel(addr: &SocketAddr) -> io::Result<SockAddr> {
    match abstract_names::get(addr) {
        Some(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())),
        // An address with neither is unnamed, which an empty path stands for.
        None => SockAddr::unix(addr.as_pathname().unwrap_or(Path::new(""))),
    }
}

/// Returns the address from the kernel. An address without path and name is unnamed: some kernels return no family,
/// or zeroes.
pub(crate) fn from_kernel(addr: &SockAddr) -> io::Result<SocketAddr> {
    match addr.as_abstract_namespace() {
        Some(name) => abstract_names::make(name),
        None => SocketAddr::from_pathname(addr.as_pathname().unwrap_or(Path::new(""))),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod abstract_names {
    use super::*;

    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;

    pub(super) fn get(addr: &SocketAddr) -> Option<&[u8]> {
        addr.as_abstract_name()
    }

    pub(super) fn make(name: &[u8]) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(name)
    }
}

/// For systems without abstract names.
mod fallback {
    #[allow(dead_code)]
    pub(super) mod abstract_names {
        use super::super::*;

        pub(crate) fn get(_: &SocketAddr) -> Option<&[u8]> {
            None
        }

        pub(crate) fn make(_: &[u8]) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
#[allow(unused_imports)]
use self::fallback::*;
