//! The pipes of a child process.
//!
//! In its own process: from fork to exec a child has all descriptors open, so that other tests would see the end of a
//! pipe too late.
#![cfg(all(unix, feature = "os-ext"))]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wakeful::unix::pipe::{Receiver, Sender};
use wakeful::{Backend, Events, Interest, Poll, Token};

mod support;

#[test]
fn a_child_s_pipes_are_taken_as_they_are() {
    let mut child = Command::new("sh")
        .args(["-c", "cat; echo error >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = Sender::from(child.stdin.take().unwrap());
    let mut stdout = Receiver::from(child.stdout.take().unwrap());
    let mut stderr = Receiver::from(child.stderr.take().unwrap());
    for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        assert!(!support::is_nonblocking(&fd));
    }
    stdin.write_all(b"hello").unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    stdout.read_to_string(&mut out).unwrap();
    stderr.read_to_string(&mut err).unwrap();
    assert_eq!((&*out, &*err), ("hello", "error\n"));
    child.wait().unwrap();
}

#[test]
fn a_child_talks_until_its_input_ends() {
    for &backend in Backend::available() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut sender = Sender::from(child.stdin.take().unwrap());
        let mut receiver = Receiver::from(child.stdout.take().unwrap());
        sender.set_nonblocking(true).unwrap();
        receiver.set_nonblocking(true).unwrap();

        let mut poll = Poll::with_backend(backend).unwrap();
        let mut events = Events::with_capacity(8);
        let deadline = Instant::now() + Duration::from_secs(60);
        poll.registry().register(&mut sender, Token(0), Interest::WRITABLE).unwrap();
        poll.registry().register(&mut receiver, Token(1), Interest::READABLE).unwrap();
        let mut read_on = |poll: &mut Poll, back: &mut Vec<u8>| {
            loop {
                poll.poll_until(&mut events, deadline).unwrap();
                assert!(Instant::now() < deadline, "{backend}: {} bytes came back", back.len());
                if events.iter().any(|event| event.token() == Token(1)) {
                    break;
                }
            }
            let result = receiver.read_to_end(back);
            assert!(!result.as_ref().is_err_and(|e| e.kind() != ErrorKind::WouldBlock), "{result:?}");
            result.is_ok()
        };
        for _ in 0..20 {
            sender.write_all(b"through the cat").unwrap();
            let mut back = Vec::new();
            while back.len() < 15 {
                assert!(!read_on(&mut poll, &mut back), "{backend}: it has ended");
            }
            assert_eq!(back, b"through the cat");
        }
        drop(sender);
        let mut back = Vec::new();
        while !read_on(&mut poll, &mut back) {}
        assert!(back.is_empty());
        assert!(child.wait().unwrap().success());
    }
}
