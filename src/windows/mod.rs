//! Sources that only Windows has.

mod named_pipe;
mod source_socket;

pub use self::named_pipe::NamedPipe;
pub use self::source_socket::SourceSocket;
