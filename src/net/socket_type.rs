//! What the sockets have in common.

/// A socket: a source type with std's type inside, the ways from and to it, and what every socket can do.
macro_rules! socket_type {
    ($(#[$doc:meta])* pub struct $Type:ident($Std:ty, $Addr:ty);) => {
        $crate::source::source_type! {
            $(#[$doc])*
            pub struct $Type($Std);
        }

        impl $Type {
            /// Takes over a socket of the standard library.
            ///
            /// Its mode stays as it is: put it into non-blocking mode first, with `set_nonblocking(true)`. This isn't
            /// checked. On a blocking socket the operation that should return `WouldBlock` waits instead, such as the
            /// second `accept` after an event, and the thread that polls hangs.
            #[must_use]
            #[inline]
            pub fn from_std(socket: $Std) -> $Type {
                $Type { inner: $crate::source::IoSource::new(socket) }
            }

            /// The address that the socket itself has: getsockname(2).
            ///
            /// # Errors
            ///
            /// Those of the system; none is to be expected of an open socket.
            #[inline]
            pub fn local_addr(&self) -> std::io::Result<$Addr> {
                self.inner.local_addr()
            }

            /// Takes the error that the socket holds (`SO_ERROR`), if any; after this it holds none.
            ///
            /// It holds one when something has failed in the background, such as an attempt to connect.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2), if the error can't be had.
            #[inline]
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.inner.took(self.inner.take_error())
            }
        }

        /// Takes the socket as it is, which must be in non-blocking mode: see [`from_std`](Self::from_std).
        impl From<$Std> for $Type {
            #[inline]
            fn from(socket: $Std) -> $Type {
                $Type::from_std(socket)
            }
        }

        /// The socket stays in non-blocking mode.
        impl From<$Type> for $Std {
            #[inline]
            fn from(socket: $Type) -> $Std {
                socket.inner.into_inner()
            }
        }
    };
}

/// What sockets on top of the Internet protocol can do, beside all others.
macro_rules! ip_options {
    ($Type:ident) => {
        impl $Type {
            /// Sets the time to live of the packets that this socket sends (`IP_TTL`): how many routers may pass
            /// them on. Of IPv4; IPv6 has an option of its own.
            ///
            /// # Errors
            ///
            /// Those of setsockopt(2), for example `InvalidInput` for more than 255.
            #[inline]
            pub fn set_ttl(&self, ttl: u32) -> std::io::Result<()> {
                self.inner.set_ttl(ttl)
            }

            /// The time to live that was set with [`set_ttl`](Self::set_ttl), or the system's own.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            #[inline]
            pub fn ttl(&self) -> std::io::Result<u32> {
                self.inner.ttl()
            }
        }
    };
}

pub(super) use {ip_options, socket_type};
