/// A socket: a source type with std's type inside, and the ways from and to it.
macro_rules! socket_type {
    ($(#[$doc:meta])* pub struct $Type:ident($Std:ty);) => {
        $crate::poll::source_type! {
            $(#[$doc])*
            pub struct $Type($Std);
        }

        impl $Type {
            /// Takes over one of the standard library's.
            ///
            /// It is taken as it is: put it into non-blocking mode first (`set_nonblocking(true)`), or its operations
            /// will block.
            #[must_use]
            pub fn from_std(socket: $Std) -> $Type {
                $Type { inner: $crate::IoSource::new(socket) }
            }

            /// Takes the error that the socket holds (`SO_ERROR`), which is cleared by this; `None` if it has none.
            ///
            /// It holds one when something failed in the background: a connection attempt, or the sending of a
            /// datagram.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.inner.take_error()
            }
        }

        /// Like [`from_std`](Self::from_std): the blocking mode stays as it is.
        impl From<$Std> for $Type {
            fn from(socket: $Std) -> $Type {
                $Type::from_std(socket)
            }
        }

        /// The standard library's stays in non-blocking mode.
        impl From<$Type> for $Std {
            fn from(socket: $Type) -> $Std {
                socket.inner.into_inner()
            }
        }
    };
}

pub(super) use socket_type;
