//! Pairs of connections for tests that can't make any.
//!
//! A program of the first preview has a listener and nothing else. Two connections to it are made here one after the
//! other, and what arrives on one is passed on to the other, ends included: for the program they are the two ends of
//! one connection. With the first byte the program says that it has taken both, and the next two are made.

use crate::prelude::*;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

pub struct Bridge {
    is_over: Arc<AtomicBool>,
}

impl Bridge {
    /// Serves the listener at `addr`, now or soon, until this is dropped.
    pub fn new(addr: SocketAddr) -> Bridge {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                if serve(addr).is_err() {
                    // It doesn't listen yet, or no more.
                    thread::sleep(Duration::from_millis(2));
                }
            }
        });
        Bridge { is_over }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let mut one = TcpStream::connect(addr)?;
    let other = TcpStream::connect(addr)?;
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    one.read_exact(&mut [0])?;
    let (one_too, other_too) = (one.try_clone()?, other.try_clone()?);
    thread::spawn(move || pass_on(one, other));
    thread::spawn(move || pass_on(other_too, one_too));
    Ok(())
}

/// What arrives is late, by another time each: a test that takes it for there at once, or for late, fails sooner.
fn pause() {
    thread::sleep(Duration::from_micros(fastrand::u64(..4096)));
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buf = vec![0; 64 << 10];
    loop {
        match from.read(&mut buf) {
            Ok(0) => break drop(to.shutdown(Shutdown::Write)),
            Ok(n) => {
                pause();
                if to.write_all(&buf[..n]).is_err() {
                    let _ = from.shutdown(Shutdown::Both);
                    break drop(to.shutdown(Shutdown::Both));
                }
            }
            // One end has gone: the other is shut down.
            _ => {
                let _ = from.shutdown(Shutdown::Both);
                break drop(to.shutdown(Shutdown::Both));
            }
        }
    }
}
