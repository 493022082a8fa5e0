//! An echo server, and a load that checks every byte.
//!
//! ```text
//! cargo run --release --example echo
//! cargo run --release --example echo -- --help
//! ```
//!
//! One thread serves TCP, UDP and (on Unix) a Unix-domain socket with a single `Poll`: `server.rs`, the part to learn
//! from. Another thread drives it over a few hundred connections, checks every byte that comes back, and measures:
//! `load.rs`. Only `transport.rs` depends on which sockets a platform has.

mod load;
mod options;
mod report;
mod server;
mod transport;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;

use wakeful::net::{TcpListener, UdpSocket};
use wakeful::{Backend, Poll, Waker};

use crate::load::Load;
use crate::options::{Mode, Options, HELP};
use crate::report::{complain, say, Report};
use crate::server::Server;

fn main() -> ExitCode {
    // An argument that isn't UTF-8 is unknown like any other.
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let options = match Options::parse(args) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            complain(&format!("echo: {message}\nTry `--help`."));
            return ExitCode::from(2);
        }
    };
    let done = match options.mode {
        Mode::Serve(address) => serve(address, &options),
        Mode::ServeGiven(descriptor) => serve_given(descriptor, &options),
        Mode::Drive { .. } => drive(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&format!("echo: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Only serves, until the program is killed.
fn serve(address: std::net::SocketAddr, options: &Options) -> Result<(), String> {
    let listener = TcpListener::bind(address).map_err(context("can't listen on TCP"))?;
    // With port 0 the system has chosen one; UDP takes the same.
    let address = listener.local_addr().map_err(context("no local address"))?;
    let socket = UdpSocket::bind(address).map_err(context("can't listen on UDP"))?;

    let poll = new_poll(options.backend)?;
    say(&format!("Echoing TCP and UDP on {address}, backend {}. Ctrl-C ends it.", poll.backend()));
    let mut server = Server::new(poll);
    server.add_listener(Box::new(listener)).map_err(context("can't register the listener"))?;
    server.add_datagrams(socket).map_err(context("can't register the UDP socket"))?;
    server.run(&AtomicBool::new(false)).map_err(context("the server failed"))?;
    Ok(())
}

/// Serves from a listener that the parent process has opened: the only kind on WASI's first preview, and systemd's
/// way of starting services.
fn serve_given(descriptor: i32, options: &Options) -> Result<(), String> {
    let listener = transport::given(descriptor).map_err(context("can't take the listener"))?;
    let poll = new_poll(options.backend)?;
    say(&format!("Echoing TCP from descriptor {descriptor}, backend {}. Ctrl-C ends it.", poll.backend()));
    let mut server = Server::new(poll);
    server.add_listener(Box::new(listener)).map_err(context("can't register the listener"))?;
    server.run(&AtomicBool::new(false)).map_err(context("the server failed"))?;
    Ok(())
}

/// Serves, drives the server from a second thread, and reports.
fn drive(options: &Options) -> Result<(), String> {
    let Mode::Drive { seconds, connections } = options.mode else {
        unreachable!("only `serve` has another mode")
    };
    let services = transport::services().map_err(context("can't listen"))?;
    let socket = UdpSocket::bind("127.0.0.1:0".parse().expect("an address"))
        .map_err(context("can't listen on UDP"))?;
    let udp_address = socket.local_addr().map_err(context("no local address"))?;

    let poll = new_poll(options.backend)?;
    let backend = poll.backend();
    let mut load = Load::new(new_poll(options.backend)?, seconds);
    let mut server = Server::new(poll);

    // The server, the load and the report have the same order.
    let shares = share(connections, services.len() + 1);
    let mut report = Report::new(backend, seconds, shares.iter().sum());
    for (service, &share) in services.into_iter().zip(&shares) {
        report.transport(service.name, &service.address);
        server.add_listener(service.listener).map_err(context("can't register a listener"))?;
        load.add_streams(service.dial, share);
    }
    report.transport("UDP", &udp_address.to_string());
    server.add_datagrams(socket).map_err(context("can't register the UDP socket"))?;
    load.add_datagrams(udp_address, shares[shares.len() - 1]).map_err(|e| load::explain(&e))?;

    let stop = Arc::new(AtomicBool::new(false));
    let waker = Arc::new(server.waker().map_err(context("can't make a waker"))?);
    // Shared, since dropping a waker right after its wake loses the wake.
    let stopper = Stopper { stop: Arc::clone(&stop), waker: Arc::clone(&waker) };

    report.begin();
    let driver = thread::Builder::new().spawn(move || {
        // Dropped at the end of this thread, even if that is a panic.
        let _stopper = stopper;
        load.run(&mut report).map(|tallies| (tallies, report))
    });
    let driver = driver.map_err(context("can't start a thread"))?;
    let served = server.run(&stop).map_err(context("the server failed"))?;
    drop(waker);
    match driver.join() {
        Ok(Ok((tallies, report))) => {
            report.end(&tallies, &served);
            Ok(())
        }
        Ok(Err(e)) => Err(load::explain(&e)),
        Err(_) => Err("the driving thread panicked".into()),
    }
}

/// Stops the server, whose thread may sleep.
struct Stopper {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        // First the message, then the wake: the waker makes it visible.
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
    }
}

fn new_poll(backend: Option<Backend>) -> Result<Poll, String> {
    match backend {
        Some(backend) => Poll::with_backend(backend).map_err(context(format!("no `Poll` with {backend}"))),
        None => Poll::new().map_err(context("no `Poll`")),
    }
}

/// Splits `total` into `parts` that differ by one at most, each at least 1.
fn share(total: usize, parts: usize) -> Vec<usize> {
    (0..parts).map(|part| ((total + parts - 1 - part) / parts).max(1)).collect()
}

/// Adds to an error what has failed.
fn context(what: impl Display) -> impl FnOnce(io::Error) -> String {
    move |e| format!("{what}: {e}")
}
