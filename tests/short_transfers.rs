//! A short read or write re-arms the source as `WouldBlock` does: the next change causes an event. epoll(7) documents
//! it (question 9), and tokio relies on it. It does not mean that the source is drained: a kernel also ends a read at
//! the boundaries below, and the end may have arrived with the data (`conformance/short_reads.rs`).
#![cfg(all(unix, feature = "net", feature = "os-ext"))]

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use wakeful::event::Source;
use wakeful::net::UnixStream;
use wakeful::unix::pipe;
use wakeful::{Backend, Events, Interest, Poll, Token};

#[test]
fn data_after_a_short_read_gives_an_event() {
    for &backend in Backend::available() {
        let (reader, writer) = UnixStream::pair().unwrap();
        data_after_a_short_read(backend, reader, writer);
        let (writer, reader) = pipe::new().unwrap();
        data_after_a_short_read(backend, reader, writer);
    }
}

fn data_after_a_short_read(backend: Backend, mut reader: impl Source + Read, mut writer: impl Write) {
    let mut poll = Poll::with_backend(backend).unwrap();
    poll.registry().register(&mut reader, Token(1), Interest::READABLE).unwrap();
    for _ in 0..3 {
        writer.write_all(b"some").unwrap();
        assert!(has_event(&mut poll), "{backend}");
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 4);
    }
}

#[test]
fn room_after_a_short_write_gives_an_event() {
    for &backend in Backend::available() {
        let (writer, reader) = UnixStream::pair().unwrap();
        room_after_a_short_write(backend, writer, reader);
        let (writer, reader) = pipe::new().unwrap();
        room_after_a_short_write(backend, writer, reader);
    }
}

fn room_after_a_short_write(backend: Backend, mut writer: impl Source + Write, mut reader: impl Read) {
    let mut poll = Poll::with_backend(backend).unwrap();
    poll.registry().register(&mut writer, Token(1), Interest::WRITABLE).unwrap();
    let much = vec![7; 16 << 20];
    for _ in 0..3 {
        assert!(has_event(&mut poll), "{backend}");
        let written = writer.write(&much).unwrap();
        assert!(written < much.len());
        reader.read_exact(&mut vec![0; written]).unwrap();
    }
}

/// The reader closes while there is nothing to write: the event comes although no write has failed.
#[test]
fn the_end_after_a_short_write_gives_an_event() {
    for &backend in Backend::available() {
        let (writer, reader) = UnixStream::pair().unwrap();
        the_end_after_a_short_write(backend, writer, reader);
        let (writer, reader) = pipe::new().unwrap();
        the_end_after_a_short_write(backend, writer, reader);
    }
}

fn the_end_after_a_short_write(backend: Backend, mut writer: impl Source + Write, reader: impl Read) {
    let mut poll = Poll::with_backend(backend).unwrap();
    poll.registry().register(&mut writer, Token(1), Interest::WRITABLE).unwrap();
    let much = vec![7; 16 << 20];
    assert!(has_event(&mut poll), "{backend}");
    assert!(writer.write(&much).unwrap() < much.len());
    drop(reader);
    assert!(has_event(&mut poll), "{backend}");
    assert_eq!(writer.write(&much).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// A TCP read ends at the position of an out-of-band byte, and Linux doesn't report the data behind it.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reading_until_it_would_block_passes_an_out_of_band_byte() {
    for &backend in Backend::available() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        receiver.set_nonblocking(true).unwrap();
        sender.set_nodelay(true).unwrap();
        sender.write_all(b"before").unwrap();
        socket2::SockRef::from(&sender).send_out_of_band(b"!").unwrap();
        sender.write_all(b"behind").unwrap();
        reads_each_piece(backend, wakeful::net::TcpStream::from_std(receiver), &[b"before", b"behind"]);
    }
}

/// A read of a Unix stream ends behind a byte that carries descriptors, whether they are received or not.
#[test]
fn reading_until_it_would_block_passes_a_descriptor() {
    for &backend in Backend::available() {
        let (receiver, mut sender) = UnixStream::pair().unwrap();
        send_with_descriptor(&sender, b"with");
        sender.write_all(b"without").unwrap();
        reads_each_piece(backend, receiver, &[b"with", b"without"]);
    }
}

fn send_with_descriptor(to: &UnixStream, bytes: &[u8]) {
    let mut control = [0_u64; 8];
    let slice = IoSlice::new(bytes);
    // SAFETY: all zero is a message without anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = (&slice as *const IoSlice<'_>).cast_mut().cast();
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: the room is aligned, and enough for a header and one descriptor; `IoSlice` has the form of an iovec.
    let sent = unsafe {
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(to.as_raw_fd());
        libc::sendmsg(to.as_raw_fd(), &message, 0)
    };
    assert_eq!(sent, bytes.len() as isize, "{}", std::io::Error::last_os_error());
}

/// Each piece is a short read, although more data waits.
fn reads_each_piece(backend: Backend, mut source: impl Source + Read, pieces: &[&[u8]]) {
    let mut poll = Poll::with_backend(backend).unwrap();
    poll.registry().register(&mut source, Token(1), Interest::READABLE).unwrap();
    let all: usize = pieces.iter().map(|piece| piece.len()).sum();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut received: Vec<Vec<u8>> = Vec::new();
    while received.concat().len() < all {
        assert!(Instant::now() < deadline, "{backend}: {received:?}");
        has_event(&mut poll);
        loop {
            let mut buf = [0; 64];
            match source.read(&mut buf) {
                Ok(n) => received.push(buf[..n].to_vec()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("{backend}: {e}"),
            }
        }
    }
    assert_eq!(received.concat(), pieces.concat(), "{backend}");
    assert!(received.iter().all(|piece| piece.len() < 64) && received.len() > 1, "{backend}: {received:?}");
}

/// Returns whether an event comes soon: a missing one would never come.
fn has_event(poll: &mut Poll) -> bool {
    let mut events = Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
    !events.is_empty()
}
