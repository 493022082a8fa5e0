//! The sockets that the server and the load share. What one platform alone has is here and nowhere else.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use wakeful::event::Source;
use wakeful::net::{TcpListener, TcpStream};

/// A connection of whatever kind.
pub trait Connection: Source + Read + Write + Send {
    /// Says that nothing more will be sent.
    fn shutdown_write(&self) -> io::Result<()>;

    /// After a writable event: whether the connection that was begun has come about. An error if it has failed.
    fn is_connected(&self) -> io::Result<bool>;
}

/// Where connections of one kind come from.
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

/// A listener of each kind of stream that this platform has.
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

/// The listener that is open as `descriptor`.
#[cfg(unix)]
pub fn given(descriptor: i32) -> io::Result<TcpListener> {
    use std::os::fd::BorrowedFd;
    // SAFETY: it is duplicated, and the kernel says if there is none. std aborts if what it owns isn't open.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
    given_listener(descriptor.into())
}

/// There are no duplicates.
#[cfg(target_os = "wasi")]
pub fn given(descriptor: i32) -> io::Result<TcpListener> {
    use std::os::fd::FromRawFd;
    // SAFETY: whoever has started us says that it is open and ours.
    given_listener(unsafe { std::net::TcpListener::from_raw_fd(descriptor) })
}

#[cfg(any(unix, target_os = "wasi"))]
fn given_listener(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    // The mode is shared with every other owner of the descriptor, so a terminal must not get it: sockets only.
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
        // An answer is worth sending at once, though more may follow. If this fails the client has gone already,
        // and the first read will tell.
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

    /// A listener that takes its name out of the file system when it goes.
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

    /// A source made of another one passes the calls on.
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
