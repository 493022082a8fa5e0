//! The error numbers that the sockets of a simulated host return.
//!
//! Invariant: the names are those of POSIX, written out.

pub(crate) const ADDRESS_IN_USE: i32 = libc::EADDRINUSE;
pub(crate) const ADDRESS_NOT_AVAILABLE: i32 = libc::EADDRNOTAVAIL;
pub(crate) const ALREADY: i32 = libc::EALREADY;
pub(crate) const BAD_DESCRIPTOR: i32 = libc::EBADF;
pub(crate) const BROKEN_PIPE: i32 = libc::EPIPE;
pub(crate) const CONNECTION_ABORTED: i32 = libc::ECONNABORTED;
pub(crate) const CONNECTION_REFUSED: i32 = libc::ECONNREFUSED;
pub(crate) const CONNECTION_RESET: i32 = libc::ECONNRESET;
pub(crate) const DESTINATION_REQUIRED: i32 = libc::EDESTADDRREQ;
pub(crate) const FAMILY_NOT_SUPPORTED: i32 = libc::EAFNOSUPPORT;
pub(crate) const HOST_UNREACHABLE: i32 = libc::EHOSTUNREACH;
pub(crate) const INVALID: i32 = libc::EINVAL;
pub(crate) const IN_PROGRESS: i32 = libc::EINPROGRESS;
pub(crate) const IS_CONNECTED: i32 = libc::EISCONN;
pub(crate) const LOOP: i32 = libc::ELOOP;
pub(crate) const MESSAGE_TOO_LONG: i32 = libc::EMSGSIZE;
pub(crate) const NOT_CONNECTED: i32 = libc::ENOTCONN;
pub(crate) const NOT_PERMITTED: i32 = libc::EPERM;
pub(crate) const NOT_SOCKET: i32 = libc::ENOTSOCK;
pub(crate) const NOT_SUPPORTED: i32 = libc::EOPNOTSUPP;
pub(crate) const NO_ENTRY: i32 = libc::ENOENT;
pub(crate) const TIMED_OUT: i32 = libc::ETIMEDOUT;
