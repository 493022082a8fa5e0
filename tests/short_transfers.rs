//! A read or write of fewer bytes than asked for counts as `WouldBlock`: the next change gives an event. epoll(7) has it
//! so (question 9), and tokio relies on it.
#![cfg(all(unix, feature = "net", feature = "os-ext"))]

use std::io::{Read, Write};
use std::time::Duration;

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

/// Whether there is one before long: one that is missing stays away for ever.
fn has_event(poll: &mut Poll) -> bool {
    let mut events = Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
    !events.is_empty()
}
