//! The macros that define the source types of this library: conversions, `try_io`, `Read` and `Write`.
//!
//! Invariant: a source type is an `IoSource` with methods of its own, and every read and write goes through
//! `IoSource::transfer`.

use std::io;

/// Defines a public type around an `IoSource`: [`Source`](crate::event::Source), `try_io`, `Debug`, and the conversions
/// from and to descriptors or sockets.
macro_rules! impl_source {
    ($(#[$doc:meta])* pub struct $Type:ident($Io:ty);) => {
        $(#[$doc])*
        pub struct $Type {
            inner: $crate::source::IoSource<$Io>,
        }

        impl $Type {
            /// Runs an operation that this type has no method for, in one direction, and re-arms that direction on
            /// `WouldBlock`.
            ///
            /// The operation must act on this source, and return `WouldBlock` if, and only if, the kernel did so: see
            /// [`IoSource::try_io_with`](crate::IoSource::try_io_with).
            ///
            /// # Errors
            ///
            /// The errors of `f`.
            #[inline]
            pub fn try_io_with<F, T>(&self, direction: $crate::readiness::Interest, f: F) -> std::io::Result<T>
            where
                F: FnOnce() -> std::io::Result<T>,
            {
                self.inner.try_io_with(direction, |_| f())
            }

            /// Runs an operation that this type has no method for and whose direction is unknown.
            ///
            /// Prefer [`try_io_with`](Self::try_io_with): with poll(2) and similar kernels, an unknown direction can
            /// cause spurious events.
            ///
            /// # Errors
            ///
            /// The errors of `f`.
            #[inline]
            pub fn try_io<F, T>(&self, f: F) -> std::io::Result<T>
            where
                F: FnOnce() -> std::io::Result<T>,
            {
                self.inner.try_io(|_| f())
            }
        }

        impl $crate::poll::Source for $Type {
            #[inline]
            fn register(
                &mut self,
                registry: &$crate::poll::Registry,
                token: $crate::readiness::Token,
                interest: $crate::readiness::Interest,
            ) -> std::io::Result<()> {
                self.inner.register(registry, token, interest)
            }

            #[inline]
            fn reregister(
                &mut self,
                registry: &$crate::poll::Registry,
                token: $crate::readiness::Token,
                interest: $crate::readiness::Interest,
            ) -> std::io::Result<()> {
                self.inner.reregister(registry, token, interest)
            }

            #[inline]
            fn deregister(&mut self, registry: &$crate::poll::Registry) -> std::io::Result<()> {
                self.inner.deregister(registry)
            }
        }

        impl std::fmt::Debug for $Type {
            #[inline]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.inner.fmt(f)
            }
        }

        #[cfg(not(windows))]
        const _: () = {
            use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

            impl AsFd for $Type {
                #[inline]
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.inner.as_fd()
                }
            }

            /// Wraps a descriptor, which must be in non-blocking mode. This is not checked: on a blocking one an
            /// operation waits where it should fail with `WouldBlock`, and the polling thread hangs.
            impl From<OwnedFd> for $Type {
                #[inline]
                fn from(fd: OwnedFd) -> $Type {
                    $Type { inner: $crate::source::IoSource::new(<$Io>::from(fd)) }
                }
            }

            impl From<$Type> for OwnedFd {
                #[inline]
                fn from(source: $Type) -> OwnedFd {
                    OwnedFd::from(source.inner.into_inner())
                }
            }

            $crate::os::raw_fd_conversions!($Type);
        };

        #[cfg(windows)]
        const _: () = {
            use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};

            impl AsSocket for $Type {
                #[inline]
                fn as_socket(&self) -> BorrowedSocket<'_> {
                    self.inner.as_socket()
                }
            }

            /// Wraps a socket, which must be in non-blocking mode. This is not checked: on a blocking one an operation
            /// waits where it should fail with `WouldBlock`, and the polling thread hangs.
            impl From<OwnedSocket> for $Type {
                #[inline]
                fn from(socket: OwnedSocket) -> $Type {
                    $Type { inner: $crate::source::IoSource::new(<$Io>::from(socket)) }
                }
            }

            impl From<$Type> for OwnedSocket {
                #[inline]
                fn from(source: $Type) -> OwnedSocket {
                    OwnedSocket::from(source.inner.into_inner())
                }
            }

            $crate::os::raw_socket_conversions!($Type);
        };
    };
}

/// Implements `Read` for a source and for a reference to it, with two functions of `os`.
macro_rules! impl_read {
    ($Type:ident, $read:path, $read_vectored:path) => {
        impl std::io::Read for &$Type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                let wanted = buf.len();
                self.inner.transfer(
                    $crate::readiness::Interest::READABLE,
                    || wanted,
                    |io, limit| $read(io, &mut buf[..wanted.min(limit)]),
                )
            }

            #[inline]
            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                let wanted = $crate::source::total_len(bufs.iter().map(|buf| buf.len()));
                self.inner.transfer(
                    $crate::readiness::Interest::READABLE,
                    || wanted,
                    |io, limit| {
                        if limit < wanted {
                            if let Some(first) = bufs.iter_mut().find(|buf| !buf.is_empty()) {
                                let len = first.len().min(limit);
                                return $read(io, &mut first[..len]);
                            }
                        }
                        $read_vectored(io, bufs)
                    },
                )
            }
        }

        impl std::io::Read for $Type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            #[inline]
            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }
    };
}

/// Implements `Write` for a source and for a reference to it, with two functions of `os`. A source has no buffer, so
/// `flush` does nothing.
macro_rules! impl_write {
    ($Type:ident, $write:path, $write_vectored:path) => {
        impl std::io::Write for &$Type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                let wanted = || buf.len();
                self.inner.transfer($crate::readiness::Interest::WRITABLE, wanted, |io, limit| {
                    $write(io, &buf[..buf.len().min(limit)])
                })
            }

            /// Does the same as the standard library's, with the first call inlined, which is mostly the only one.
            #[inline]
            fn write_all(&mut self, buf: &[u8]) -> std::io::Result<()> {
                if buf.is_empty() {
                    return Ok(());
                }
                match self.write(buf) {
                    Ok(n) if n == buf.len() => Ok(()),
                    result => $crate::source::continue_write_all(self, buf, result),
                }
            }

            #[inline]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                let wanted = || $crate::source::total_len(bufs.iter().map(|buf| buf.len()));
                self.inner.transfer($crate::readiness::Interest::WRITABLE, wanted, |io, limit| {
                    if limit != usize::MAX {
                        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) {
                            return $write(io, &first[..first.len().min(limit)]);
                        }
                    }
                    $write_vectored(io, bufs)
                })
            }

            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Write for $Type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            #[inline]
            fn write_all(&mut self, buf: &[u8]) -> std::io::Result<()> {
                (&*self).write_all(buf)
            }

            #[inline]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

/// Returns the sum of the lengths of slices. The same memory can be in many of them, so the sum can exceed a `usize`:
/// then it is `usize::MAX`, which no operation moves.
#[inline]
pub(crate) fn total_len(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

/// Continues a `write_all` whose first call has had the result `first`.
#[inline(never)]
pub(crate) fn continue_write_all(
    mut writer: impl io::Write,
    buf: &[u8],
    first: io::Result<usize>,
) -> io::Result<()> {
    let (mut rest, mut result) = (buf, first);
    loop {
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if rest.is_empty() {
            return Ok(());
        }
        result = writer.write(rest);
    }
}

pub(crate) use {impl_read, impl_source, impl_write};

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{ErrorKind, Write};

    use super::*;

    #[test]
    fn a_total_length_saturates() {
        assert_eq!(total_len([].into_iter()), 0);
        assert_eq!(total_len([3, 0, 4].into_iter()), 7);
        assert_eq!(total_len([usize::MAX, 1].into_iter()), usize::MAX);
        assert_eq!(total_len([isize::MAX as usize; 3].into_iter()), usize::MAX);
    }

    /// Returns the results of the list, one for each call.
    struct Script(VecDeque<Result<usize, ErrorKind>>, Vec<u8>);

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let n = self.0.pop_front().expect("no more calls")?;
            self.1.extend(&buf[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the result, the bytes that were written, and how many calls were left.
    fn write_all(calls: &[Result<usize, ErrorKind>]) -> (Result<(), ErrorKind>, String, usize) {
        let mut script = Script(calls.iter().copied().collect(), Vec::new());
        let first = script.write(b"hello");
        let result = continue_write_all(&mut script, b"hello", first).map_err(|e| e.kind());
        (result, String::from_utf8(script.1).unwrap(), script.0.len())
    }

    #[test]
    fn the_rest_is_written_as_the_standard_library_does() {
        use ErrorKind::{Interrupted, WouldBlock, WriteZero};

        assert_eq!(write_all(&[Ok(2), Ok(3), Ok(1)]), (Ok(()), "hello".into(), 1));
        assert_eq!(write_all(&[Ok(1), Err(Interrupted), Ok(4)]), (Ok(()), "hello".into(), 0));
        assert_eq!(write_all(&[Err(Interrupted), Ok(5)]), (Ok(()), "hello".into(), 0));
        assert_eq!(write_all(&[Ok(2), Err(WouldBlock), Ok(3)]), (Err(WouldBlock), "he".into(), 1));
        assert_eq!(write_all(&[Err(WouldBlock), Ok(5)]), (Err(WouldBlock), String::new(), 1));
        assert_eq!(write_all(&[Ok(4), Ok(0), Ok(1)]), (Err(WriteZero), "hell".into(), 1));
    }
}
