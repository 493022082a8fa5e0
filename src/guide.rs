//! Getting started, the contract, and how to do the usual things.
//!
//! - [A first program](#a-first-program)
//! - [The contract](#the-contract)
//! - [Sources of one's own](#sources-of-ones-own)
//! - [Wakers](#wakers)
//! - [Deadlines](#deadlines)
//! - [Choosing a backend](#choosing-a-backend)
//! - [Several threads](#several-threads)
//! - [Shaking a program](#shaking-a-program)
//! - [Moving from mio](#moving-from-mio)
//! - [Recipes](recipes): deadlines that can be cancelled, signals, child processes, a keyboard, bounded write buffers,
//!   a shortage of descriptors, half-close, one `Poll` per core
//! - [Platform notes](platforms), with a table of what each kernel tells in which situation
//!
//! # A first program
//!
//! A server that accepts connections, reads what comes, and ends when the first client has gone. It runs as it
//! stands here.
//!
//! ```
//! # #[cfg(feature = "net")] mod program {
//! use std::io::{self, ErrorKind, Read};
//! use std::thread;
//! use std::time::Duration;
//!
//! use wakeful::net::{TcpListener, TcpStream};
//! use wakeful::{Events, Interest, Poll, Token};
//!
//! // 1. A token names a registration. Any `usize` will do.
//! const LISTENER: Token = Token(0);
//! const CLIENT: Token = Token(1);
//!
//! pub fn main() -> io::Result<()> {
//!     // 2. What sleeps, and where it puts what has happened. Both are made once.
//!     let mut poll = Poll::new()?;
//!     let mut events = Events::with_capacity(128);
//!
//!     // 3. Sources are non-blocking. Say which one, by what name, and what for.
//!     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//!     let address = listener.local_addr()?;
//!     poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
//!
//!     // Somebody to talk to.
//!     let peer = thread::spawn(move || -> io::Result<()> {
//!         use std::io::Write;
//!         std::net::TcpStream::connect(address)?.write_all(b"hello, world")
//!     });
//!
//!     let mut client: Option<TcpStream> = None;
//!     let mut received = Vec::new();
//!     // When to call `accept` again after it has failed.
//!     let mut pause = None;
//!     loop {
//!         // 4. Sleep until something is ready. A signal may end the sleep: then sleep again.
//!         match poll.poll(&mut events, pause) {
//!             Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!             result => result?,
//!         }
//!         let mut is_accepting = pause.take().is_some();
//!
//!         // 5. An event says: try now. So try, until the answer is `WouldBlock`.
//!         for event in &events {
//!             match event.token() {
//!                 LISTENER => is_accepting = true,
//!                 CLIENT => {
//!                     let Some(stream) = &mut client else { continue };
//!                     if read_all(stream, &mut received)? {
//!                         assert_eq!(received, b"hello, world");
//!                         return peer.join().unwrap();
//!                     }
//!                 }
//!                 _ => {}
//!             }
//!         }
//!         while is_accepting {
//!             match listener.accept() {
//!                 Ok((mut stream, _)) if client.is_none() => {
//!                     poll.registry().register(&mut stream, CLIENT, Interest::READABLE)?;
//!                     client = Some(stream);
//!                 }
//!                 Ok(_) => {} // one is enough here: a second one is closed
//!                 Err(e) if e.kind() == ErrorKind::WouldBlock => break,
//!                 // This client has gone. The next one may wait already.
//!                 Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
//!                 // Most likely descriptors have run out. The client still waits, and no event reports it again.
//!                 Err(_) => {
//!                     pause = Some(Duration::from_millis(100));
//!                     break;
//!                 }
//!             }
//!         }
//!     }
//! }
//!
//! /// Reads all there is; whether that was the end.
//! fn read_all(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<bool> {
//!     let mut buf = [0; 4096];
//!     loop {
//!         match stream.read(&mut buf) {
//!             Ok(0) => return Ok(true),
//!             Ok(n) => received.extend_from_slice(&buf[..n]),
//!             Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
//!             Err(e) if e.kind() == ErrorKind::Interrupted => {}
//!             Err(e) => return Err(e),
//!         }
//!     }
//! }
//! # }
//! # #[cfg(feature = "net")] fn main() -> std::io::Result<()> { program::main() }
//! # #[cfg(not(feature = "net"))] fn main() {}
//! ```
//!
//! The numbers in it are the whole library:
//!
//! 1. A [`Token`](crate::Token) comes back with each event. Servers put an index or a key of a map into it, runtimes
//!    a pointer.
//! 2. A [`Poll`](crate::Poll) is the sleeper, [`Events`](crate::Events) the room for what one call brings. What
//!    doesn't fit comes with the next calls.
//! 3. A [`Registry`](crate::Registry) ties a source to a token and an [`Interest`](crate::Interest).
//! 4. [`Poll::poll`](crate::Poll::poll) sleeps. `None` sleeps for as long as it takes.
//! 5. An [`Event`](crate::event::Event) reports a *change*. The kernel doesn't repeat it, so it must be used up.
//!
//! The repository's `examples/echo` is what a server looks like that is finished: buffers with a limit, clients that
//! don't read, half-closed connections, resets, and descriptors that have run out.
//!
//! # The contract
//!
//! ## What a program must do
//!
//! - **Operate until `WouldBlock`.** After a readable event read (accept, receive) until the answer is `WouldBlock`;
//!   after a writable event write until `WouldBlock` or until there is no more to write. Before that there is
//!   no promise of another event. Stopping earlier is fine if the program remembers that it isn't done, and comes back
//!   on its own. A read of fewer bytes than asked for [isn't `WouldBlock`](#short-reads-and-writes).
//! - **Use descriptors in non-blocking mode.** What this library opens is in it. What comes from elsewhere (`from_std`,
//!   `from_raw_fd`, `IoSource::new`, `SourceFd`) must be put into it first: on a blocking descriptor the operation that
//!   should return `WouldBlock` waits instead, and the thread that polls hangs. The mode isn't checked, in no build: it
//!   would cost a system call for each registration, it may change after a check, and programs that watch a descriptor
//!   in blocking mode on purpose, such as a terminal that is read once after each event, would be refused.
//! - **Go on after an error that isn't the end.** A datagram socket may answer `ConnectionRefused` for a
//!   datagram that was sent long ago. That is not `WouldBlock`: receive again.
//! - **Expect spurious events.** An event means "try now", and `WouldBlock` is a legal answer.
//! - **Expect `Interrupted`** from `poll`, and call it again.
//! - **Operate through the source**, or through [`IoSource::try_io_with`](crate::IoSource::try_io_with), not through
//!   a duplicate of its descriptor: some kernels must be asked again after `WouldBlock`, and the source sees to it.
//! - **Deregister before giving a descriptor away**, be it to another `Poll`, to `into_raw_fd` or to a child process;
//!   and before putting another value into an `IoSource`.
//!
//! ## What it gets
//!
//! The same on every backend. Where a kernel makes a line impossible, [`platforms`] says so.
//!
//! 1. Events are edge-triggered: each change is reported once. None is ever lost.
//! 2. `register` and `reregister` report readiness that exists already. `reregister` replaces token and interest, both
//!    completely.
//! 3. After `deregister` no later `poll` reports that registration, even if the kernel had an event queued.
//! 4. Every `usize` is a legal token.
//! 5. To register a source that is registered is `AlreadyExists`, with the same `Poll` or another. To reregister
//!    or deregister one that isn't registered there is `NotFound`. Debug and release builds agree.
//! 6. What can't be watched fails at registration: a closed descriptor, a regular file.
//! 7. Readable and writable are exact up to races. Closed and error flags mean the same on all backends. An error sets
//!    readable or writable too, so a program may ignore the other flags altogether.
//! 8. A call brings at most as many events as there is room for. The others come with the next calls, and none starves.
//!    Room for none is `InvalidInput`.
//! 9. `poll` with a timeout never comes back empty before it is over, and is late by no more than the kernel's timer
//!    makes it. Any `Duration` is legal.
//! 10. A signal handler ends `poll` with `Interrupted`.
//! 11. Other threads may register, reregister and deregister while a thread is inside `poll`. It takes effect at once.
//! 12. After the last `wake` of a [`Waker`](crate::Waker) there is at least one event. Wakes before a poll may merge.
//!     Several wakers, each with its token, live on one `Poll`.
//! 13. A source that is dropped without being deregistered leaks nothing, closes its connection at once, and gives no
//!     event to the next source with the same descriptor number, as long as no duplicate of it is open.
//! 14. A raw descriptor (`unix::SourceFd`) loses no event, whatever way it is read and written.
//! 15. Every descriptor is close-on-exec from the start, where the kernel can do that.
//! 16. A `Poll`'s own descriptor can be watched by another poll: it is readable when an event or a wake is pending.
//! 17. `poll`, `wake`, `reregister` and I/O allocate nothing once they are running.
//!
//! ## Short reads and writes
//!
//! A short read returns fewer bytes than the buffer holds. It is not `WouldBlock`: the end may have arrived with the
//! data. One event has then reported both, and a loop that stops at the short read waits for ever.
//!
//! A loop that calls `Read` on a `TcpStream`, a `UnixStream` or a pipe's `Receiver` may stop at a short read, and save
//! the call that returns `WouldBlock`, under two conditions:
//!
//! - No event of the registration has said [`is_read_closed`](crate::event::Event::is_read_closed) or
//!   [`is_error`](crate::event::Event::is_error). Once one has, the loop reads until `Ok(0)`, `WouldBlock` or an error.
//!   Remember it: a later event may lack the flag.
//! - The kernel had no other reason to end the read. It also ends one at TCP's out-of-band byte, behind bytes of a Unix
//!   stream that carry descriptors, and between the packets of a pipe in packet mode (`O_DIRECT`). The peer chooses to
//!   send such things, and at such a place its data waits until more arrives.
//!
//! Whatever arrives after that read, the end too, gives an event.
//!
//! A loop that calls `Write` may stop at a short write unless an event of the registration has said
//! [`is_write_closed`](crate::event::Event::is_write_closed) or `is_error`. Room gives an event later, and so does an
//! error.
//!
//! Everything else operates until `WouldBlock`. A datagram that is smaller than the buffer says nothing about the next
//! one. And inside of [`try_io_with`](crate::IoSource::try_io_with) a one-shot kernel is re-armed by `WouldBlock`
//! alone.
//!
//! # Sources of one's own
//!
//! **A type made of sources** passes the three calls of [`event::Source`](crate::event::Source) on; its documentation
//! has an example.
//!
//! **A descriptor or socket that one owns** becomes a source with [`IoSource`](crate::IoSource): a raw socket, a
//! device, what another crate has opened. It must be non-blocking, and each operation goes through
//! [`try_io_with`](crate::IoSource::try_io_with), which says in which direction it goes:
//!
//! ```
//! # #[cfg(unix)]
//! # fn main() -> std::io::Result<()> {
//! use std::io::ErrorKind;
//! use std::net::UdpSocket;
//! use wakeful::{Events, Interest, IoSource, Poll, Token};
//!
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! socket.set_nonblocking(true)?;
//! let mut source = IoSource::new(socket);
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(8);
//! poll.registry().register(&mut source, Token(0), Interest::READABLE)?;
//!
//! source.try_io_with(Interest::WRITABLE, |socket| socket.send_to(b"ping", socket.local_addr()?))?;
//! let mut buf = [0; 16];
//! loop {
//!     match poll.poll(&mut events, None) {
//!         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!         result => result?,
//!     }
//!     match source.try_io_with(Interest::READABLE, |socket| socket.recv_from(&mut buf)) {
//!         Ok((n, _)) => break assert_eq!(&buf[..n], b"ping"),
//!         Err(e) if e.kind() == ErrorKind::WouldBlock => {} // the event was spurious
//!         Err(e) => return Err(e),
//!     }
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(unix))] fn main() {}
//! ```
//!
//! The library's own sockets have `try_io_with` too, for calls that it doesn't offer (`sendmsg`, `recvmmsg`).
//! `try_io` is the same without a direction, as mio has it. On a kernel that must be asked again it costs more: which
//! direction has blocked must be found out.
//!
//! **A descriptor that somebody else owns** is watched through `unix::SourceFd` (feature `os-ext`). It needs no
//! wrapping of operations. It closes nothing and remembers nothing, so it can be made anew for each call:
//!
//! ```
//! # #[cfg(all(unix, feature = "os-ext"))]
//! # fn main() -> std::io::Result<()> {
//! use std::os::fd::AsRawFd;
//! use wakeful::{unix::SourceFd, Interest, Poll, Token};
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! listener.set_nonblocking(true)?;
//!
//! let poll = Poll::new()?;
//! poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), Token(0), Interest::READABLE)?;
//! // ...
//! poll.registry().deregister(&mut SourceFd(&listener.as_raw_fd()))?;
//! # Ok(())
//! # }
//! # #[cfg(not(all(unix, feature = "os-ext")))] fn main() {}
//! ```
//!
//! # Wakers
//!
//! A [`Waker`](crate::Waker) ends a sleep from another thread. It carries no data: put that where the poller finds
//! it, then wake.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use std::io::ErrorKind;
//! use std::sync::mpsc;
//! use std::thread;
//! use wakeful::{Events, Poll, Token, Waker};
//!
//! const COMMANDS: Token = Token(usize::MAX);
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(8);
//! let waker = Waker::new(poll.registry(), COMMANDS)?;
//! let (sender, receiver) = mpsc::channel();
//!
//! let worker = thread::spawn(move || -> std::io::Result<Waker> {
//!     for number in 1..=3 {
//!         sender.send(number).unwrap();
//!         waker.wake()?;
//!     }
//!     Ok(waker) // a waker that is dropped wakes nobody
//! });
//!
//! let mut sum = 0;
//! while sum < 6 {
//!     match poll.poll(&mut events, None) {
//!         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!         result => result?,
//!     }
//!     for event in &events {
//!         if event.token() == COMMANDS {
//!             // Wakes may have merged: take all there is.
//!             sum += receiver.try_iter().sum::<i32>();
//!         }
//!     }
//! }
//! # worker.join().unwrap()?;
//! # Ok(())
//! # }
//! ```
//!
//! Keep the waker until its event has come: one that is dropped right after `wake` takes the wake with it. Where the
//! thread that wakes may end at once, share the waker in an `Arc` with the thread that polls.
//!
//! A wake makes a system call only if the poller sleeps. Otherwise it is two atomic operations, so it need not be
//! avoided. To wake from several places share one waker, or make several with tokens of their own.
//!
//! # Deadlines
//!
//! [`Poll::poll_until`](crate::Poll::poll_until) takes an `Instant`. With the earliest of a program's
//! deadlines it is a timer:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use std::cmp::Reverse;
//! use std::collections::BinaryHeap;
//! use std::io::ErrorKind;
//! use std::time::{Duration, Instant};
//! use wakeful::{Events, Poll};
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(8);
//!
//! let start = Instant::now();
//! let mut deadlines: BinaryHeap<_> =
//!     [3, 1, 2].into_iter().map(|ms| Reverse(start + Duration::from_millis(ms))).collect();
//!
//! while let Some(&Reverse(next)) = deadlines.peek() {
//!     match poll.poll_until(&mut events, next) {
//!         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!         result => result?,
//!     }
//!     for _event in &events {
//!         // ... sources come here, and the deadline stays as it is ...
//!     }
//!     let now = Instant::now();
//!     while deadlines.peek().is_some_and(|&Reverse(deadline)| deadline <= now) {
//!         deadlines.pop(); // this one is over: do what it was for
//!     }
//! }
//! assert!(start.elapsed() >= Duration::from_millis(3));
//! # Ok(())
//! # }
//! ```
//!
//! # Choosing a backend
//!
//! A build has every [`Backend`](crate::Backend) that its target has, and a program may use several at once.
//! [`Poll::new`](crate::Poll::new) takes the best one. To choose:
//!
//! - for a run: the environment variable `WAKEFUL_BACKEND`, for example `WAKEFUL_BACKEND=posix_poll`. A name that
//!   isn't there is an error of `Poll::new`, never ignored.
//! - in the program: [`Poll::with_backend`](crate::Poll::with_backend).
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use wakeful::{Backend, Poll};
//!
//! for &backend in Backend::available() {
//!     let poll = Poll::with_backend(backend)?;
//!     println!("{}", poll.backend());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A test suite that runs once for each name in [`Backend::available`](crate::Backend::available) finds code that
//! relies on one kernel's habits.
//!
//! # Several threads
//!
//! One thread at a time polls, since [`poll`](crate::Poll::poll) takes `&mut self`. Everything else may be done from
//! anywhere: [`Registry::try_clone`](crate::Registry::try_clone) gives a handle of the same `Poll`, with which another
//! thread registers sources while the first one sleeps.
//!
//! ```
//! # #[cfg(feature = "net")]
//! # fn main() -> std::io::Result<()> {
//! use std::thread;
//! use wakeful::{net::UdpSocket, Events, Interest, Poll, Token};
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(8);
//! let registry = poll.registry().try_clone()?;
//!
//! let worker = thread::spawn(move || -> std::io::Result<UdpSocket> {
//!     let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
//!     registry.register(&mut socket, Token(7), Interest::WRITABLE)?;
//!     Ok(socket)
//! });
//!
//! poll.poll(&mut events, None)?; // a socket with room to send is writable at once
//! assert_eq!(events.iter().next().map(|event| event.token()), Some(Token(7)));
//! # worker.join().unwrap()?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "net"))] fn main() {}
//! ```
//!
//! To use several cores, give each thread a `Poll` of its own and share the connections out among them. A source moves
//! to another `Poll` by being deregistered from the first. When a `Poll` and all its registries have been dropped, its
//! sources are free, and another `Poll` can register them: a program may restart its loop.
//!
//! After `fork` a child shares the kernel's objects with its parent, but not the memory: let it leave every
//! `Poll`, `Waker` and source of the parent alone.
//!
//! # Shaking a program
//!
//! A program may rely on more than the contract without anybody noticing, since kernels rarely use the freedom that
//! they have. `WAKEFUL_CHAOS=17` in the environment, with any number, makes every `Poll` use all of it, by that seed:
//! events come late (up to 2 ms), split, merged, in another order and for no reason, operations move less than they
//! could, and answer `WouldBlock` though they could do something, after which an event always follows. Never is an
//! event lost or a byte changed. It works under `compat/mio` too, so a program that was written for mio is shaken as
//! it is. `Poll::with_chaos` does the same to one `Poll`.
//!
//! With a kernel below, a seed repeats the choices and not the run: what fails may need several tries.
//! `examples/shaken.rs` is a server whose test always passes, and fails with any seed.
//!
//! - Operations on a `SourceFd` are not seen, so only its events are shaken. One that is closed without
//!   `deregister` may be reported for another 2 ms.
//! - Events of sources that share a token are not held back, nor is any while another poll watches this one's
//!   descriptor.
//! - A wake, and what `try_io` does, is left as it is.
//!
//! The feature `sim` goes further: it has no kernel at all, and what a seed does is the same each time.
//!
//! # Moving from mio
//!
//! The API is mio's, version 1: change the name in `use`. A program whose *dependencies* use mio needs no change
//! of code, only this in its `Cargo.toml`, where `compat/mio` is that folder of the repository:
//!
//! ```toml
//! [patch.crates-io]
//! mio = { path = "wakeful/compat/mio" }
//! ```
//!
//! A lock file that was there before keeps the mio that it has, until `cargo update -p mio`. `cargo tree -i mio` shows
//! which one is built: this library stands there with its path.
//!
//! What is new: [`IoSource`](crate::IoSource) is public, `try_io_with`,
//! [`Poll::with_backend`](crate::Poll::with_backend), [`Poll::poll_until`](crate::Poll::poll_until), `AsFd` for
//! `Poll`, several wakers on one `Poll`, [`Events::len`](crate::Events::len).
//!
//! What differs, and may be noticed:
//!
//! - What mio leaves open has one answer here, in debug and release: registering twice, a second `Poll`, and
//!   room for no events (`InvalidInput`).
//! - A `poll` with a timeout is not rounded up to milliseconds, so a loop that relied on the pause turns faster.
//! - A `Waker` in a child after `fork` doesn't wake the parent.
//! - Reads, writes and waits go around libc's wrappers on Linux, so what interposes those (`LD_PRELOAD`) doesn't see
//!   them. `RUSTFLAGS="--cfg wakeful_libc_wrappers"` gives them back.
//! - A socket takes more memory: 16 bytes on 64-bit Unix, where mio's takes 4 in release builds.
//! - `{:?}` of an event is spelled otherwise.
//! - On WASI there is a `Waker`. The first preview has `bind`, `connect` and `UdpSocket` too, which answer
//!   `Unsupported`.
//! - On the BSDs: see the README for what exists so far.

#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

#[doc = include_str!("../PLATFORMS.md")]
pub mod platforms {}

/// The README's program is run with the doctests.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
mod readme {}
