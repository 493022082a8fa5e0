//! Promise 1: a short read may end the loop, unless an event has reported that the source is closed or has an error.
//! Later data, and the end, then cause an event. The rule is in the guide, "Short reads and writes";
//! `tests/short_transfers.rs` has the boundaries at which a read stops although more data waits.
//!
//! A short read alone is no reason to stop: the end may have arrived with the data, and one event reports both.

use std::any::Any;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::time::Instant;

use wakeful::event::Source;
use wakeful::Backend;

use crate::support::*;

on_every_backend![
    an_end_that_comes_with_the_data_is_found,
    an_end_that_comes_before_the_read_is_found,
    an_end_that_comes_after_the_read_is_found,
];

/// Enough for the freedom of the kernel and of chaos to show.
const ROUNDS: usize = 10;
const DATA: &[u8] = b"some bytes";

/// When the connection ends.
#[derive(Copy, Clone, PartialEq)]
enum When {
    WithData,
    BeforeRead,
    AfterRead,
}

fn an_end_that_comes_with_the_data_is_found(backend: Backend) {
    on_each_source(backend, When::WithData);
}

fn an_end_that_comes_before_the_read_is_found(backend: Backend) {
    on_each_source(backend, When::BeforeRead);
}

fn an_end_that_comes_after_the_read_is_found(backend: Backend) {
    on_each_source(backend, When::AfterRead);
}

fn on_each_source(backend: Backend, when: When) {
    for _ in 0..ROUNDS {
        find_the_end(backend, when, tcp_pair(), |peer| {
            peer.shutdown(Shutdown::Write).unwrap();
            Box::new(peer)
        });
        find_the_end(backend, when, tcp_pair(), close);
        // Other kernels may discard the data before a reset, or have no reset.
        #[cfg(target_os = "linux")]
        find_the_end(backend, when, tcp_pair(), reset);
        #[cfg(unix)]
        on_each_unix_source(backend, when);
    }
}

#[cfg(unix)]
fn on_each_unix_source(backend: Backend, when: When) {
    use wakeful::net::UnixStream;
    use wakeful::unix::pipe;

    find_the_end(backend, when, UnixStream::pair().unwrap(), |peer| {
        peer.shutdown(Shutdown::Write).unwrap();
        Box::new(peer)
    });
    find_the_end(backend, when, UnixStream::pair().unwrap(), close);
    let (sender, receiver) = pipe::new().unwrap();
    find_the_end(backend, when, (receiver, sender), close);
}

fn close<P>(peer: P) -> Box<dyn Any> {
    drop(peer);
    Box::new(())
}

#[cfg(target_os = "linux")]
fn reset(peer: wakeful::net::TcpStream) -> Box<dyn Any> {
    socket2::SockRef::from(&peer).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    close(peer)
}

fn find_the_end<S, P>(backend: Backend, when: When, pair: (S, P), end: impl FnOnce(P) -> Box<dyn Any>)
where
    S: Source + Read,
    P: std::io::Write,
{
    let (mut source, mut peer) = pair;
    let mut t = Tester::new(backend);
    t.register(&mut source, A, READ);
    let (mut end, mut kept) = (Some(end), None::<Box<dyn Any>>);
    send(&mut peer, DATA);
    let mut peer = Some(peer);
    let mut finish = || kept = end.take().zip(peer.take()).map(|(end, peer)| end(peer));
    if when == When::WithData {
        finish();
    }

    let (mut received, mut is_closed) = (Vec::new(), false);
    let deadline = Instant::now() + PATIENCE;
    loop {
        t.poll.poll_until(&mut t.events, deadline).unwrap();
        assert!(Instant::now() < deadline, "the end was never reported, behind {} bytes", received.len());
        for event in &t.events {
            is_closed |= event.is_read_closed() || event.is_error();
        }
        if when == When::BeforeRead {
            finish();
        }
        loop {
            let mut buf = [0; 2 * DATA.len()];
            match source.read(&mut buf) {
                Ok(0) => {
                    assert_eq!(received, DATA);
                    return;
                }
                Ok(n) => {
                    received.extend_from_slice(&buf[..n]);
                    if n < buf.len() && !is_closed {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => {
                    assert_eq!((e.kind(), &received[..]), (ErrorKind::ConnectionReset, DATA));
                    return;
                }
            }
        }
        if when == When::AfterRead && received == DATA {
            finish();
        }
    }
}
