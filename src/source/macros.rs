//! What the sources of this library have in common, made by macros: each is an `IoSource` with a face of its own.

use std::io;

/// A public type around an `IoSource`: [`Source`](crate::event::Source), `try_io`, `Debug`, and the conversions from
/// and to what the system calls it.
macro_rules! source_type {
    ($(#[$doc:meta])* pub struct $Type:ident($Io:ty);) => {
        $(#[$doc])*
        pub struct $Type {
            inner: $crate::source::IoSource<$Io>,
        }

        impl $Type {
            /// Does an operation in one direction that this type has no method for, and on `WouldBlock` asks the
            /// kernel again for that direction.
            ///
            /// The operation must act on this very source, and answer `WouldBlock` if, and only if, the kernel did so:
            /// see [`IoSource::try_io_with`](crate::IoSource::try_io_with).
            ///
            /// # Errors
            ///
            /// Those of `f`.
            #[inline]
            pub fn try_io_with<F, T>(&self, direction: $crate::readiness::Interest, f: F) -> std::io::Result<T>
            where
                F: FnOnce() -> std::io::Result<T>,
            {
                self.inner.try_io_with(direction, |_| f())
            }

            /// Does an operation that this type has no method for and whose direction isn't known.
            ///
            /// [`try_io_with`](Self::try_io_with) is better: with poll(2) and its like, not to know the direction may
            /// bring spurious events.
            ///
            /// # Errors
            ///
            /// Those of `f`.
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

            /// The descriptor must be in non-blocking mode, which isn't checked: on a blocking one, the operation that
            /// should return `WouldBlock` waits instead, and the thread that polls hangs.
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

            /// The socket must be in non-blocking mode, which isn't checked: on a blocking one, the operation that
            /// should return `WouldBlock` waits instead, and the thread that polls hangs.
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

/// `Read` for a source and for a reference to it, by two functions of `os`.
macro_rules! read_with {
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
                let wanted = $crate::source::sum_of(bufs.iter().map(|buf| buf.len()));
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

/// `Write` for a source and for a reference to it, by two functions of `os`. Nothing is buffered here, so there is
/// nothing to flush.
macro_rules! write_with {
    ($Type:ident, $write:path, $write_vectored:path) => {
        impl std::io::Write for &$Type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                let wanted = || buf.len();
                self.inner.transfer($crate::readiness::Interest::WRITABLE, wanted, |io, limit| {
                    $write(io, &buf[..buf.len().min(limit)])
                })
            }

            /// As the standard library's, but one call, which it mostly is, is inlined.
            #[inline]
            fn write_all(&mut self, buf: &[u8]) -> std::io::Result<()> {
                if buf.is_empty() {
                    return Ok(());
                }
                match self.write(buf) {
                    Ok(n) if n == buf.len() => Ok(()),
                    result => $crate::source::write_rest(self, buf, result),
                }
            }

            #[inline]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                let wanted = || $crate::source::sum_of(bufs.iter().map(|buf| buf.len()));
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

/// How many bytes there are in slices of these lengths. The same memory may be in many of them, so there may be more
/// than a `usize` counts: then so many as it does, which no operation moves.
#[inline]
pub(crate) fn sum_of(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

/// Goes on with a `write_all` whose first call has had this result.
#[inline(never)]
pub(crate) fn write_rest(mut writer: impl io::Write, buf: &[u8], first: io::Result<usize>) -> io::Result<()> {
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

pub(crate) use {read_with, source_type, write_with};

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{ErrorKind, Write};

    use super::*;

    #[test]
    fn more_bytes_than_can_be_counted_are_as_many_as_can() {
        assert_eq!(sum_of([].into_iter()), 0);
        assert_eq!(sum_of([3, 0, 4].into_iter()), 7);
        assert_eq!(sum_of([usize::MAX, 1].into_iter()), usize::MAX);
        assert_eq!(sum_of([isize::MAX as usize; 3].into_iter()), usize::MAX);
    }

    /// Does what the list says, one call after the other.
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

    /// What became of it, what was written, and how many calls were left.
    fn write_all(calls: &[Result<usize, ErrorKind>]) -> (Result<(), ErrorKind>, String, usize) {
        let mut script = Script(calls.iter().copied().collect(), Vec::new());
        let first = script.write(b"hello");
        let result = write_rest(&mut script, b"hello", first).map_err(|e| e.kind());
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
