//! Sources that only Windows has: named pipes, sockets that other code owns, objects that the kernel signals, and
//! events that the program posts; and the completion port.

mod completion_port;
mod named_pipe;
mod source_socket;
mod user_registration;
mod user_source;
mod waitable;

pub use self::completion_port::completion_port;
pub use self::named_pipe::NamedPipe;
pub use self::source_socket::SourceSocket;
pub use self::user_source::{Poster, UserSource};
pub use self::waitable::Waitable;
