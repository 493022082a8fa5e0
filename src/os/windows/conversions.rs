//! The raw conversions of sockets and handles.
//!
//! Invariant: they are thin wrappers around the owned conversions, here because they have an `unsafe fn`.

/// Implements the raw conversions between `$Type` and a socket by its owned conversions.
///
/// They are here because `FromRawSocket` has an `unsafe fn`, which the floors above don't have.
#[cfg(feature = "net")]
macro_rules! raw_socket_conversions {
    ($Type:ident) => {
        impl std::os::windows::io::AsRawSocket for $Type {
            fn as_raw_socket(&self) -> std::os::windows::io::RawSocket {
                std::os::windows::io::AsRawSocket::as_raw_socket(&std::os::windows::io::AsSocket::as_socket(
                    self,
                ))
            }
        }

        impl std::os::windows::io::IntoRawSocket for $Type {
            fn into_raw_socket(self) -> std::os::windows::io::RawSocket {
                std::os::windows::io::IntoRawSocket::into_raw_socket(std::os::windows::io::OwnedSocket::from(
                    self,
                ))
            }
        }

        #[allow(unsafe_code)]
        impl std::os::windows::io::FromRawSocket for $Type {
            unsafe fn from_raw_socket(socket: std::os::windows::io::RawSocket) -> $Type {
                // SAFETY: the caller promises that `socket` is open and not owned elsewhere.
                let socket = unsafe { $crate::os::owned_socket(socket) };
                $Type::from(socket)
            }
        }
    };
}

/// Implements the same conversions for a handle.
#[cfg(feature = "os-ext")]
macro_rules! raw_handle_conversions {
    ($Type:ident) => {
        impl std::os::windows::io::AsRawHandle for $Type {
            fn as_raw_handle(&self) -> std::os::windows::io::RawHandle {
                std::os::windows::io::AsRawHandle::as_raw_handle(&std::os::windows::io::AsHandle::as_handle(
                    self,
                ))
            }
        }

        impl std::os::windows::io::IntoRawHandle for $Type {
            fn into_raw_handle(self) -> std::os::windows::io::RawHandle {
                std::os::windows::io::IntoRawHandle::into_raw_handle(std::os::windows::io::OwnedHandle::from(
                    self,
                ))
            }
        }

        #[allow(unsafe_code)]
        impl std::os::windows::io::FromRawHandle for $Type {
            unsafe fn from_raw_handle(handle: std::os::windows::io::RawHandle) -> $Type {
                // SAFETY: the caller promises that `handle` is open and not owned elsewhere.
                let handle = unsafe { $crate::os::owned_handle(handle) };
                $Type::from(handle)
            }
        }
    };
}

/// # Safety
///
/// `socket` is open and not owned elsewhere.
#[cfg(feature = "net")]
pub(crate) unsafe fn owned_socket(
    socket: std::os::windows::io::RawSocket,
) -> std::os::windows::io::OwnedSocket {
    // SAFETY: the caller's promise.
    unsafe { std::os::windows::io::FromRawSocket::from_raw_socket(socket) }
}

/// # Safety
///
/// `handle` is open and not owned elsewhere.
#[cfg(feature = "os-ext")]
pub(crate) unsafe fn owned_handle(
    handle: std::os::windows::io::RawHandle,
) -> std::os::windows::io::OwnedHandle {
    // SAFETY: the caller's promise.
    unsafe { std::os::windows::io::FromRawHandle::from_raw_handle(handle) }
}

#[cfg(feature = "os-ext")]
pub(crate) use raw_handle_conversions;
#[cfg(feature = "net")]
pub(crate) use raw_socket_conversions;
