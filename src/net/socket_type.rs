//! The common part of all sockets: their type, the conversions, `local_addr` and `take_error`.
//!
//! Invariant: a socket type is an `IoSource` around the standard library's type and nothing else, so that a
//! conversion is free.

/// Defines a socket: a source type around std's type, the conversions from and to it, and the methods of every
/// socket.
macro_rules! socket_type {
    ($(#[$doc:meta])* pub struct $Type:ident($Std:ty, $Addr:ty);) => {
        $crate::source::impl_source! {
            $(#[$doc])*
            pub struct $Type($Std);
        }

        impl $Type {
            /// Wraps a socket of the standard library.
            ///
            /// The socket must be in non-blocking mode: call `set_nonblocking(true)` first. This is not checked. On a
            /// blocking socket an operation waits where it should fail with `WouldBlock`, for example the second
            /// `accept` after an event, and the polling thread hangs.
            #[must_use]
            #[inline]
            pub fn from_std(socket: $Std) -> $Type {
                $Type { inner: $crate::source::IoSource::new(socket) }
            }

            /// Returns the socket's local address: getsockname(2).
            ///
            /// # Errors
            ///
            /// Any error of getsockname(2); none is expected of an open socket.
            #[inline]
            pub fn local_addr(&self) -> std::io::Result<$Addr> {
                self.inner.local_addr()
            }

            /// Returns the socket's pending error (`SO_ERROR`), if any, and clears it.
            ///
            /// An error is pending after a failure in the background, such as a failed attempt to connect.
            ///
            /// # Errors
            ///
            /// Any error of getsockopt(2) itself.
            #[inline]
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.inner.after_take_error(self.inner.take_error())
            }
        }

        /// Wraps a socket, which must be in non-blocking mode: see [`from_std`](Self::from_std).
        impl From<$Std> for $Type {
            #[inline]
            fn from(socket: $Std) -> $Type {
                $Type::from_std(socket)
            }
        }

        /// Returns the standard library's socket, still in non-blocking mode.
        impl From<$Type> for $Std {
            #[inline]
            fn from(socket: $Type) -> $Std {
                socket.inner.into_inner()
            }
        }
    };
}

/// Defines the options of Internet sockets.
macro_rules! ip_options {
    ($Type:ident) => {
        impl $Type {
            /// Sets the time to live of the packets that this socket sends (`IP_TTL`): the number of routers that may
            /// forward them. The option is IPv4's; IPv6 has a separate one.
            ///
            /// # Errors
            ///
            /// Any error of setsockopt(2), for example `InvalidInput` for more than 255.
            #[inline]
            pub fn set_ttl(&self, ttl: u32) -> std::io::Result<()> {
                self.inner.set_ttl(ttl)
            }

            /// Returns the time to live that [`set_ttl`](Self::set_ttl) has set, or the system's default.
            ///
            /// # Errors
            ///
            /// Any error of getsockopt(2).
            #[inline]
            pub fn ttl(&self) -> std::io::Result<u32> {
                self.inner.ttl()
            }
        }
    };
}

pub(super) use {ip_options, socket_type};
