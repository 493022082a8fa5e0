//! Unix: pipes and FIFOs, whose other end closes and is opened again.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use wakeful::event::Event;
use wakeful::unix::{pipe, SourceFd};
use wakeful::Backend;

use crate::support::unix::raw_drain;
use crate::support::*;

on_every_backend![
    both_ends,
    the_writer_has_gone,
    the_reader_has_gone,
    the_reader_of_a_full_pipe_has_gone,
    a_writer_of_a_fifo_comes_back,
    a_hasty_writer_of_a_fifo,
    a_hasty_writer_and_a_raw_descriptor,
    a_reader_of_a_fifo_comes_back,
];

fn both_ends(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut sender, mut receiver) = pipe::new().unwrap();
    t.register(&mut sender, A, WRITE);
    t.register(&mut receiver, B, READ);
    t.expect(&[want(A, WRITE)]);
    t.quiet();
    for _ in 0..5 {
        let count = fill(&sender);
        t.expect(&[want(B, READ)]);
        t.quiet();
        assert_eq!(drain(&receiver).len(), count);
        t.expect(&[want(A, WRITE)]);
        t.quiet();
    }
}

fn the_writer_has_gone(backend: Backend) {
    for last_words in [&b""[..], b"last words"] {
        let mut t = Tester::new(backend);
        let (sender, mut receiver) = pipe::new().unwrap();
        t.register(&mut receiver, B, READ);
        send(&sender, last_words);
        drop(sender);
        let events = t.expect(&[want(B, READ)]);
        assert!(events.iter().any(Event::is_read_closed), "{events:?}");
        let (bytes, end) = read_on(&receiver);
        assert!(bytes == last_words && end.is_none());
        t.quiet();
        // The pipe is at its end, and can be registered all the same.
        t.reregister(&mut receiver, C, READ);
        t.expect(&[want(C, READ)]);
        t.deregister(&mut receiver);
    }
}

fn the_reader_has_gone(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut sender, receiver) = pipe::new().unwrap();
    fill(&sender);
    t.register(&mut sender, A, WRITE);
    t.quiet();
    // Some room, and no reader that would make more.
    read_exactly(&receiver, 64 << 10);
    drop(receiver);
    let events = t.expect(&[want(A, WRITE)]);
    assert!(events.iter().any(Event::is_write_closed), "{events:?}");
    assert_kind(sender.write(b"x"), ErrorKind::BrokenPipe);
    t.quiet();
}

fn the_reader_of_a_full_pipe_has_gone(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut sender, receiver) = pipe::new().unwrap();
    t.register(&mut sender, A, WRITE);
    t.expect(&[want(A, WRITE)]);
    fill(&sender);
    t.quiet();
    drop(receiver);
    // Full and broken: the kernel reports only an error.
    let events = t.expect(&[want(A, WRITE).or(READ)]);
    assert!(events.iter().any(Event::is_write_closed), "{events:?}");
    assert_kind(sender.write(b"x"), ErrorKind::BrokenPipe);
    t.quiet();
}

struct Fifo {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Fifo {
    fn new() -> Fifo {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: `name` is a C string.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        Fifo { path, _directory: directory }
    }

    fn reader(&self) -> pipe::Receiver {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path).unwrap();
        pipe::Receiver::from(OwnedFd::from(file))
    }

    /// Fails if there is no reader.
    fn writer(&self) -> File {
        nonblocking_writer(&self.path).unwrap()
    }
}

fn nonblocking_writer(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

fn a_writer_of_a_fifo_comes_back(backend: Backend) {
    let fifo = Fifo::new();
    let mut reader = fifo.reader();
    let mut t = Tester::new(backend);
    t.register(&mut reader, A, READ);
    for _ in 0..5 {
        let mut writer = fifo.writer();
        writer.write_all(b"one").unwrap();
        // The event may repeat that the last writer has gone.
        t.until_read(&reader, b"one");
        writer.write_all(b"two").unwrap();
        t.until_read(&reader, b"two");
        drop(writer);
        t.until_end(&reader);
    }
}

impl Tester {
    /// Polls until the data was read and the source would block.
    fn until_read(&mut self, reader: &pipe::Receiver, bytes: &[u8]) {
        let mut got = Vec::new();
        while got.len() < bytes.len() {
            self.expect(&[want(A, READ)]);
            got.extend(read_on(reader).0);
        }
        assert_eq!(got, bytes);
    }

    fn until_end(&mut self, reader: &pipe::Receiver) {
        loop {
            self.expect(&[want(A, READ)]);
            if let (bytes, None) = read_on(reader) {
                assert_eq!(bytes, b"");
                return;
            }
        }
    }
}

/// Each writer opens, writes and closes before the reader polls: the state is the same as with the previous one.
fn a_hasty_writer_of_a_fifo(backend: Backend) {
    let fifo = Fifo::new();
    let mut reader = fifo.reader();
    let mut t = Tester::new(backend);
    t.register(&mut reader, A, READ);
    for round in 0..5 {
        fifo.writer().write_all(b"hasty").unwrap();
        t.until_read(&reader, b"hasty");
        if round % 2 == 0 {
            t.poll_now();
        }
    }
}

fn a_hasty_writer_and_a_raw_descriptor(backend: Backend) {
    let fifo = Fifo::new();
    let reader = OwnedFd::from(fifo.reader());
    let fd = reader.as_raw_fd();
    let mut t = Tester::new(backend);
    t.register(&mut SourceFd(&fd), A, READ);
    for round in 0..5 {
        fifo.writer().write_all(b"hasty").unwrap();
        let mut got = 0;
        while got < 5 {
            t.expect(&[want(A, READ)]);
            got += raw_drain(&reader);
        }
        if round % 2 == 0 {
            t.poll_now();
        }
    }
}

fn a_reader_of_a_fifo_comes_back(backend: Backend) {
    let fifo = Fifo::new();
    assert!(nonblocking_writer(&fifo.path).is_err());
    let reader = fifo.reader();
    let mut writer = pipe::Sender::from(OwnedFd::from(fifo.writer()));
    let mut t = Tester::new(backend);
    t.register(&mut writer, A, WRITE);
    t.expect(&[want(A, WRITE)]);
    fill(&writer);
    drop(reader);
    // The pipe has no reader any more.
    t.expect(&[want(A, WRITE).or(READ)]);
    assert_kind(writer.write(b"x"), ErrorKind::BrokenPipe);
    let reader = fifo.reader();
    let bytes = match writer.write(b"x") {
        Err(e) if e.kind() == ErrorKind::WouldBlock => drain(&reader),
        other => panic!("the pipe is full: {other:?}"),
    };
    assert!(!bytes.is_empty());
    t.expect(&[want(A, WRITE)]);
    send(&writer, b"x");
    assert_eq!(drain(&reader), b"x");
}
