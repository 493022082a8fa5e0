/// The raw halves of the conversions between `$Type` and a socket, from the owned halves that it has already.
///
/// They are made here because `FromRawSocket` has an `unsafe fn`, and nothing above this floor does.
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
                // SAFETY: the caller promises that `socket` is open and nobody else's.
                let socket: std::os::windows::io::OwnedSocket =
                    unsafe { std::os::windows::io::FromRawSocket::from_raw_socket(socket) };
                $Type::from(socket)
            }
        }
    };
}

pub(crate) use raw_socket_conversions;
