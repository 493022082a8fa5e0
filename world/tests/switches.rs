//! Threads of hosts between which turns go without the kernel, and descriptors that share a real socket.
//!
//! Invariant: each thread keeps what is its own, whichever thread of the system runs it.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::cell::Cell;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use wakeful_world::{Faults, World};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Makes one world without faults that must not fail.
fn passes(build: impl Fn(&World) + Send + Sync + 'static) {
    let report = World::seeds(0..1).faults(Faults::NONE).twice_all().check(build);
    assert!(report.failure.is_none(), "{}", report.failure.unwrap());
}

std::thread_local! {
    static OWN: Own = const { Own(Cell::new(0)) };
}

/// A thread-local value, which is dropped at the end of its thread.
struct Own(Cell<u64>);

impl Drop for Own {
    fn drop(&mut self) {
        // A turn of others, while the thread ends.
        thread::sleep(MILLISECOND);
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().expect("a number")
}

/// Sets `errno` by a call that fails, and that no world knows.
fn fail(number: i32) {
    let fd = if number == libc::EBADF { -1 } else { 0 };
    // SAFETY: no memory is passed; neither is a directory.
    assert_eq!(unsafe { libc::fchdir(fd) }, -1);
}

/// What a thread does between many turns of others.
fn work(number: u64) -> u64 {
    let own_error = if number % 2 == 0 { libc::EBADF } else { libc::ENOTDIR };
    let mut sum = 0.1 * number as f64;
    OWN.with(|own| own.0.set(number));
    for turn in 0..20 {
        fail(own_error);
        thread::sleep(MILLISECOND);
        assert_eq!(errno(), own_error);
        assert_eq!(OWN.with(|own| own.0.get()), number + turn);
        OWN.with(|own| own.0.set(number + turn + 1));
        sum += 0.1;
    }
    assert!((sum - 0.1 * number as f64 - 2.0).abs() < 1e-9);
    number
}

#[test]
fn each_thread_keeps_its_own() {
    passes(|world| {
        for host in 1..=3 {
            world.host(format!("10.0.0.{host}"), move || {
                let threads: Vec<_> =
                    (0..8).map(|number| (number, thread::spawn(move || work(100 * number)))).collect();
                for (number, thread) in threads {
                    assert_eq!(thread.join().unwrap(), 100 * number);
                }
                work(7);
            });
        }
    });
}

#[test]
fn threads_begin_and_end_amid_others() {
    passes(|world| {
        world.host("10.0.0.1", || {
            let (sender, receiver) = channel();
            for round in 0..30 {
                let sender = sender.clone();
                let name = format!("thread {round}");
                let thread = thread::Builder::new().name(name.clone()).spawn(move || {
                    thread::sleep(MILLISECOND * (round % 3));
                    sender.send(thread::current().name().map(str::to_owned)).unwrap();
                });
                let thread = thread.unwrap();
                // Every other thread is detached.
                if round % 2 == 0 {
                    thread.join().unwrap();
                }
                assert_eq!(receiver.recv().unwrap(), Some(name));
            }
        });
        world.host("10.0.0.2", || {
            work(5);
            use_stack(0);
        });
    });
}

/// Needs much of a thread's stack.
fn use_stack(depth: u32) {
    let space = std::hint::black_box([depth; 1000]);
    if depth < 100 {
        use_stack(depth + 1);
    }
    std::hint::black_box(space);
}

#[test]
fn a_panic_unwinds_its_own_thread_alone() {
    passes(|world| {
        world.host("10.0.0.1", || {
            let barrier = Arc::new(Barrier::new(4));
            let threads: Vec<_> = (0..4_u64)
                .map(|number| {
                    let barrier = Arc::clone(&barrier);
                    thread::spawn(move || {
                        barrier.wait();
                        let panicked = catch_unwind(|| {
                            work(number);
                            resume_unwind(Box::new(number));
                        });
                        assert!(!thread::panicking());
                        *panicked.unwrap_err().downcast::<u64>().unwrap()
                    })
                })
                .collect();
            let numbers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(numbers, [0, 1, 2, 3]);
        });
    });
}

/// The processors on which a turn goes from thread to thread without the kernel.
#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn a_turn_costs_no_switch_of_the_kernel() {
    passes(|world| {
        world.host("10.0.0.1", || {
            let socket = UdpSocket::bind("10.0.0.1:5000").unwrap();
            let before = waits();
            for _ in 0..1000 {
                let (len, from) = socket.recv_from(&mut [0; 8]).unwrap();
                socket.send_to(&[1][..len], from).unwrap();
            }
            let count = waits() - before;
            assert!(count < 100, "{count} of 2000 turns");
        });
        world.host("10.0.0.2", || {
            let socket = UdpSocket::bind("10.0.0.2:5000").unwrap();
            for _ in 0..1000 {
                socket.send_to(&[1], "10.0.0.1:5000").unwrap();
                socket.recv_from(&mut [0; 8]).unwrap();
            }
        });
    });
}

/// Returns how often the kernel has blocked a thread of the process.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn waits() -> libc::c_long {
    // SAFETY: zeroes are a valid value, and the call writes one.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage.ru_nvcsw
    }
}

#[test]
fn what_is_set_on_one_socket_is_set_on_no_other() {
    passes(|world| {
        world.host("10.0.0.1", || {
            let listener = TcpListener::bind("10.0.0.1:80").unwrap();
            let connect = || {
                let client = TcpStream::connect("10.0.0.1:80").unwrap();
                (client, listener.accept().unwrap().0)
            };
            let (one, _one_peer) = connect();
            let (other, mut other_peer) = connect();
            one.set_nodelay(true).unwrap();
            one.set_nonblocking(true).unwrap();
            one.set_read_timeout(Some(MILLISECOND)).unwrap();
            assert_eq!((one.nodelay().unwrap(), other.nodelay().unwrap()), (true, false));
            assert_eq!(other.read_timeout().unwrap(), None);
            assert_eq!(read_error(&one), std::io::ErrorKind::WouldBlock);

            // The other still blocks.
            let writer = thread::spawn(move || {
                thread::sleep(MILLISECOND * 100);
                std::io::Write::write_all(&mut other_peer, b"x").unwrap();
            });
            assert_eq!(std::io::Read::read(&mut &other, &mut [0; 8]).unwrap(), 1);
            writer.join().unwrap();
            // A later socket is as new.
            let (later, _later_peer) = connect();
            assert!(!later.nodelay().unwrap());
        });
    });
}

fn read_error(mut stream: &TcpStream) -> std::io::ErrorKind {
    std::io::Read::read(&mut stream, &mut [0; 8]).unwrap_err().kind()
}

#[test]
fn duplicates_share_their_options() {
    passes(|world| {
        world.host("10.0.0.1", || {
            let listener = TcpListener::bind("10.0.0.1:80").unwrap();
            let one = TcpStream::connect("10.0.0.1:80").unwrap();
            let other = one.try_clone().unwrap();
            other.set_nodelay(true).unwrap();
            assert!(one.nodelay().unwrap());
            let _accepted = listener.accept().unwrap();

            // A call that fails closes nothing.
            // SAFETY: no memory is passed, and the first number is no descriptor.
            assert_eq!(unsafe { libc::dup2(9999, one.as_raw_fd()) }, -1);
            assert_eq!(one.peer_addr().unwrap(), "10.0.0.1:80".parse().unwrap());
            // Its number stands for the listener afterwards.
            // SAFETY: the stream owns the second number, and still owns it then.
            assert!(unsafe { libc::dup2(listener.as_raw_fd(), one.as_raw_fd()) } >= 0);
            let listener_again = TcpListener::from(OwnedFd::from(one));
            assert_eq!(listener_again.local_addr().unwrap(), "10.0.0.1:80".parse().unwrap());
        });
    });
}

#[test]
fn a_closed_descriptor_is_closed() {
    passes(|world| {
        world.host("10.0.0.1", || {
            let socket = UdpSocket::bind("10.0.0.1:53").unwrap();
            let fd = socket.as_raw_fd();
            drop(socket);
            // SAFETY: no memory is passed.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, -1);
            assert_eq!(errno(), libc::EBADF);
            // A file gets the number, and is none of the world's.
            let file = std::fs::File::open("/dev/null").unwrap();
            assert_eq!(file.as_raw_fd(), fd);
            // SAFETY: no memory is passed.
            let copy = unsafe { libc::dup(fd) };
            // SAFETY: just opened, and owned by no other.
            let copy = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(copy) });
            assert!(copy.metadata().unwrap().file_type() == file.metadata().unwrap().file_type());
        });
    });
}
