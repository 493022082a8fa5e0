//! Pipes without a `Poll`. The conformance suite has the tests with one.
#![cfg(all(unix, feature = "os-ext"))]

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use wakeful::unix::pipe::{self, Receiver};
use wakeful::Interest;

mod support;

use support::{assert_would_block, is_close_on_exec, is_nonblocking};

#[test]
fn both_ends_are_nonblocking_and_close_on_exec() {
    let (sender, receiver) = pipe::new().unwrap();
    for fd in [sender.as_fd(), receiver.as_fd()] {
        assert!(is_nonblocking(&fd));
        assert!(is_close_on_exec(&fd));
    }
}

#[test]
fn the_mode_is_each_end_s_own() {
    let (sender, receiver) = pipe::new().unwrap();
    sender.set_nonblocking(false).unwrap();
    assert!(!is_nonblocking(&sender));
    assert!(is_nonblocking(&receiver));
    sender.set_nonblocking(true).unwrap();
    sender.set_nonblocking(true).unwrap();
    assert!(is_nonblocking(&sender));
    receiver.set_nonblocking(false).unwrap();
    assert!(!is_nonblocking(&receiver));
}

#[test]
fn bytes_arrive_in_order_and_then_the_end() {
    let (mut sender, mut receiver) = pipe::new().unwrap();
    assert_would_block(receiver.read(&mut [0; 8]));
    let mut buf = [0; 8];
    let bufs = &mut [IoSliceMut::new(&mut buf)];
    assert_would_block(receiver.read_vectored(bufs));

    sender.write_all(b"one ").unwrap();
    assert_eq!((&sender).write_vectored(&[IoSlice::new(b"two "), IoSlice::new(b"three")]).unwrap(), 9);
    sender.flush().unwrap();
    let (mut word, mut rest) = ([0; 4], [0; 64]);
    let bufs = &mut [IoSliceMut::new(&mut word), IoSliceMut::new(&mut rest)];
    assert_eq!((&receiver).read_vectored(bufs).unwrap(), 13);
    assert_eq!((&word, &rest[..9]), (b"one ", &b"two three"[..]));

    drop(sender);
    assert_eq!(receiver.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_full_pipe_would_block_and_a_broken_one_is_an_error() {
    let (mut sender, receiver) = pipe::new().unwrap();
    let chunk = [7; 4096];
    let result = loop {
        match sender.write(&chunk) {
            Ok(n) => assert!(n > 0),
            result => break result,
        }
    };
    assert_would_block(result);
    assert_would_block(sender.try_io_with(Interest::WRITABLE, || (&sender).write(&chunk)));
    assert_would_block(sender.try_io(|| (&sender).write(&chunk)));

    drop(receiver);
    assert_eq!(sender.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn descriptors_go_out_and_in() {
    let (mut sender, receiver) = pipe::new().unwrap();
    let number = receiver.as_raw_fd();
    let raw = Receiver::from(OwnedFd::from(receiver)).into_raw_fd();
    assert_eq!(raw, number);
    // SAFETY: `into_raw_fd` has given it to us.
    let mut receiver = unsafe { Receiver::from_raw_fd(raw) };
    sender.write_all(b"x").unwrap();
    assert_eq!(receiver.read(&mut [0; 8]).unwrap(), 1);
    drop(receiver);
    assert_eq!(sender.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}
