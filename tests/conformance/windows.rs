//! Windows: features that not every system has. Old systems lack some, Wine lacks others.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use wakeful::net::{SocketAddr, UnixListener, UnixStream};
use wakeful::windows::NamedPipe;
use wakeful::{Backend, Waker};

use windows_sys::Win32::Foundation::{CloseHandle, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Networking::WinSock::{WSAEAFNOSUPPORT, WSAESOCKTNOSUPPORT};
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_ACCESS_DUPLEX};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Pipes::{CreateNamedPipeW, PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES};

use crate::skips::skip;
use crate::support::*;

on_every_backend![unix_domain_sockets, short_timeouts_between_wakes, the_name_of_a_pipe_is_taken];

/// By a direct call to the system.
pub fn lacks_unix_sockets() -> bool {
    let error = match Socket::new(Domain::UNIX, Type::STREAM, None) {
        Ok(_) => return false,
        Err(e) => e.raw_os_error(),
    };
    assert!(matches!(error, Some(WSAEAFNOSUPPORT | WSAESOCKTNOSUPPORT)), "{error:?}");
    true
}

pub fn lacks_wait_completion_packets() -> bool {
    !has_in_ntdll(b"NtAssociateWaitCompletionPacket\0")
}

/// Returns whether a socket outlives its last handle while a thread waits for it, as Wine's do.
pub fn holds_closed_sockets() -> bool {
    has_in_ntdll(b"wine_get_version\0")
}

/// `name` ends with zero.
fn has_in_ntdll(name: &[u8]) -> bool {
    let library: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
    // SAFETY: both names end with zero, and every process has that library.
    unsafe { GetProcAddress(GetModuleHandleW(library.as_ptr()), name.as_ptr()) }.is_some()
}

/// Returns whether the system creates a second pipe that demands to be the first of its name.
pub fn lacks_first_instances() -> bool {
    let name = format!("{}\0", pipe_name("probe"));
    let name: Vec<u16> = name.encode_utf16().collect();
    let make = || {
        // SAFETY: the name ends with zero; no attributes are passed.
        unsafe {
            CreateNamedPipeW(
                name.as_ptr(),
                PIPE_ACCESS_DUPLEX | FILE_FLAG_FIRST_PIPE_INSTANCE,
                PIPE_TYPE_BYTE,
                PIPE_UNLIMITED_INSTANCES,
                512,
                512,
                0,
                std::ptr::null(),
            )
        }
    };
    let (first, second) = (make(), make());
    assert_ne!(first, INVALID_HANDLE_VALUE);
    for handle in [first, second] {
        // SAFETY: it was made above, or is no handle, which is an error.
        unsafe { CloseHandle(handle) };
    }
    second != INVALID_HANDLE_VALUE
}

fn pipe_name(of: &str) -> String {
    format!(r"\\.\pipe\wakeful-{of}-{}", std::process::id())
}

pub fn unix_domain_sockets(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let addr = SocketAddr::from_pathname(&path).unwrap();
    assert_eq!(addr.as_pathname(), Some(path.as_path()));
    assert!(!addr.is_unnamed());
    assert_kind(SocketAddr::from_pathname("x".repeat(200)), ErrorKind::InvalidInput);
    if lacks_unix_sockets() {
        // The error must be clear, and no file is created.
        assert_kind(UnixListener::bind(&path), ErrorKind::Unsupported);
        assert_kind(UnixListener::bind_addr(&addr), ErrorKind::Unsupported);
        assert_kind(UnixStream::connect(&path), ErrorKind::Unsupported);
        assert_kind(UnixStream::connect_addr(&addr), ErrorKind::Unsupported);
        assert!(!path.exists());
        return skip(backend, "unix_domain_sockets");
    }

    let mut listener = UnixListener::bind(&path).unwrap();
    let mut t = Tester::new(backend);
    assert_eq!(listener.local_addr().unwrap(), addr);
    t.register(&mut listener, A, READ);
    assert_kind(listener.accept(), ErrorKind::WouldBlock);
    let mut client = UnixStream::connect_addr(&addr).unwrap();
    t.expect(&[want(A, READ)]);
    let (mut server, _) = listener.accept().unwrap();
    t.register(&mut client, B, BOTH);
    t.expect(&[want(B, WRITE)]);
    assert_eq!(client.peer_addr().unwrap(), addr);
    assert!(client.local_addr().unwrap().is_unnamed());
    for _ in 0..10 {
        server.write_all(b"hello").unwrap();
        t.expect(&[want(B, READ).or(WRITE)]);
        assert_eq!((&client).read(&mut [0; 16]).unwrap(), 5);
        assert_kind((&client).read(&mut [0; 16]), ErrorKind::WouldBlock);
    }
    t.register(&mut server, C, READ);
    drop(client);
    t.expect(&[want(C, READ)]);
    assert_eq!(server.read(&mut [0; 4]).unwrap(), 0);
    drop(listener);
}

/// The timer that keeps a short timeout ends no later sleep, and a wake that comes first is not lost on it.
pub fn short_timeouts_between_wakes(backend: Backend) {
    let mut t = Tester::new(backend);
    for round in 0..100_u32 {
        let limit = Duration::from_micros(u64::from(1 + round * 7 % 900));
        let start = Instant::now();
        assert!(t.poll_for(limit).is_empty());
        assert!(start.elapsed() >= limit);
        t.poll_now();
    }
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    thread::scope(|scope| {
        for round in 0..100_u32 {
            let waker = &waker;
            let limit = Duration::from_micros(u64::from(200 + round * 13 % 800));
            let thread = scope.spawn(move || {
                thread::sleep(Duration::from_micros(u64::from(round * 17 % 1000)));
                waker.wake().unwrap();
            });
            let early = t.poll_for(limit);
            if early.is_empty() {
                t.expect(&[want(WAKE, READ)]);
            }
            thread.join().unwrap();
            // Each wake is reported once.
            t.quiet();
        }
    });
    if lacks_wait_completion_packets() {
        // The port's timeout then counts whole milliseconds.
        skip(backend, "high_resolution_timer");
    }
}

pub fn the_name_of_a_pipe_is_taken(backend: Backend) {
    let name = pipe_name("taken");
    let first = NamedPipe::new(&name).unwrap();
    let second = NamedPipe::new(&name);
    if lacks_first_instances() {
        second.unwrap();
        return skip(backend, "first_pipe_instance");
    }
    assert_kind(second, ErrorKind::PermissionDenied);
    drop(first);
    NamedPipe::new(&name).unwrap();
}
