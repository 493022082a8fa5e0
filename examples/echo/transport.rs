//! The sockets that the server and the load share. Everything that depends on the platform is here.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use wakeful::event::Source;
use wakeful::net::{TcpListener, TcpStream};

/// A connection of any kind.
pub trait Connection: Source + Read + Write + Send {
    /// Shuts down the sending half.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Returns, after a writable event, whether the stream has connected, or the error of a failed attempt.
    fn is_connected(&self) -> io::Result<bool>;
}

/// A listener of one kind, and the way to connect to it.
pub trait Listener: Source + Send {
    fn accept(&mut self) -> io::Result<Box<dyn Connection>>;
}

/// How to connect to a service.
pub type Dial = Box<dyn Fn() -> io::Result<Box<dyn Connection>> + Send>;

pub struct Service {
    pub name: &'static str,
    pub address: String,
    pub listener: Box<dyn Listener>,
    pub dial: Dial,
}

/// Returns a listener for each kind of stream of this platform.
pub fn services() -> io::Result<Vec<Service>> {
    let tcp = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let address = tcp.local_addr()?;
    Ok(vec![
        Service {
            name: "TCP",
            address: address.to_string(),
            listener: Box::new(tcp),
            dial: Box::new(move || {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }),
        },
        #[cfg(unix)]
        unix::service()?,
    ])
}

/// Returns the listener that is open as `descriptor`.
#[cfg(unix)]
pub fn given(descriptor: i32) -> io::Result<TcpListener> {
    use std::os::fd::BorrowedFd;
    // SAFETY: the descriptor is only duplicated, which fails if it isn't open. std would abort if it owned a closed
    // one.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
    given_listener(descriptor.into())
}

/// WASI has no duplicates of descriptors.
#[cfg(target_os = "wasi")]
pub fn given(descriptor: i32) -> io::Result<TcpListener> {
    use std::os::fd::FromRawFd;
    // SAFETY: the user names a descriptor that is open and not owned elsewhere.
    given_listener(unsafe { std::net::TcpListener::from_raw_fd(descriptor) })
}

#[cfg(any(unix, target_os = "wasi"))]
fn given_listener(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    // Duplicates of the descriptor share the mode, so it must not be set on a terminal: sockets only.
    #[cfg(unix)]
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener))
}

#[cfg(not(any(unix, target_os = "wasi")))]
pub fn given(_: i32) -> io::Result<TcpListener> {
    Err(ErrorKind::Unsupported.into())
}

impl Connection for TcpStream {
    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn is_connected(&self) -> io::Result<bool> {
        if let Some(e) = self.take_error()? {
            return Err(e);
        }
        match self.peer_addr() {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotConnected => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl Listener for TcpListener {
    fn accept(&mut self) -> io::Result<Box<dyn Connection>> {
        let (stream, _peer) = TcpListener::accept(self)?;
        // Answers are sent at once, though more may follow. If this fails, the client has gone already, and the first
        // read finds out.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::path::PathBuf;
    use wakeful::net::{UnixListener, UnixStream};
    use wakeful::{Interest, Registry, Token};

    pub fn service() -> io::Result<Service> {
        let path = std::env::temp_dir().join(format!("wakeful-echo-{}.sock", std::process::id()));
        // A program with this number that was killed may have left its socket.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        Ok(Service {
            name: "Unix",
            address: path.display().to_string(),
            listener: Box::new(Owner { listener, path: path.clone() }),
            dial: Box::new(move || Ok(Box::new(UnixStream::connect(&path)?))),
        })
    }

    /// A listener that removes its path when it is dropped.
    struct Owner {
        listener: UnixListener,
        path: PathBuf,
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    impl Listener for Owner {
        fn accept(&mut self) -> io::Result<Box<dyn Connection>> {
            let (stream, _peer) = self.listener.accept()?;
            Ok(Box::new(stream))
        }
    }

    /// A source around another source passes the calls on.
    impl Source for Owner {
        fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            self.listener.register(registry, token, interest)
        }

        fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            self.listener.reregister(registry, token, interest)
        }

        fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            self.listener.deregister(registry)
        }
    }

    impl Connection for UnixStream {
        fn shutdown_write(&self) -> io::Result<()> {
            self.shutdown(Shutdown::Write)
        }

        fn is_connected(&self) -> io::Result<bool> {
            match self.take_error()? {
                Some(e) => Err(e),
                None => Ok(true),
            }
        }
    }
}
