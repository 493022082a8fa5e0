//! Linux: a terminal as a raw descriptor, watched as by a program that reads keys.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;

use wakeful::unix::SourceFd;
use wakeful::Backend;

use crate::support::*;

on_every_backend![keys_come_by_the_line, the_terminal_has_gone];

/// A terminal, and the end of its user.
pub fn terminal() -> (File, File) {
    // SAFETY: no memory is passed; the new descriptor is not owned elsewhere.
    let user = unsafe {
        let user = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(user != -1 && libc::grantpt(user) == 0 && libc::unlockpt(user) == 0);
        File::from_raw_fd(user)
    };
    let mut name = [0; 64];
    // SAFETY: `name` is as long as stated.
    assert_eq!(unsafe { libc::ptsname_r(user.as_raw_fd(), name.as_mut_ptr(), name.len()) }, 0);
    // SAFETY: it was filled in, with a zero at its end.
    let name = unsafe { std::ffi::CStr::from_ptr(name.as_ptr()) };
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let terminal =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(name.to_str().unwrap()).unwrap();
    (terminal, user)
}

fn keys_come_by_the_line(backend: Backend) {
    let mut t = Tester::new(backend);
    let (terminal, mut user) = terminal();
    let fd = terminal.as_raw_fd();
    t.register(&mut SourceFd(&fd), A, READ);
    t.quiet();
    for _ in 0..10 {
        user.write_all(b"half").unwrap();
        t.quiet();
        user.write_all(b" a line\n").unwrap();
        t.expect(&[want(A, READ)]);
        assert_eq!(drain(&terminal), b"half a line\n");
        t.quiet();
    }
    t.reregister(&mut SourceFd(&fd), B, WRITE);
    t.expect(&[want(B, WRITE)]);
    (&terminal).write_all(b"prompt> ").unwrap();
    assert!(user.read(&mut [0; 100]).unwrap() > 0);
}

fn the_terminal_has_gone(backend: Backend) {
    let mut t = Tester::new(backend);
    let (terminal, user) = terminal();
    t.register(&mut SourceFd(&terminal.as_raw_fd()), A, READ);
    drop(user);
    let events = t.expect(&[want(A, READ)]);
    assert!(events.iter().any(|event| event.is_read_closed()), "{events:?}");
    assert!(matches!(read_on(&terminal), (bytes, None) if bytes.is_empty()));
    t.quiet();
}
