//! The pipes of a child process.
//!
//! In a process of its own: from fork to exec a child has all descriptors open, and in other tests a pipe would break
//! later than they expect.
#![cfg(all(unix, feature = "os-ext"))]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use wakeful::unix::pipe::{Receiver, Sender};

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
