//! A first program, the contract, and how to use each part of the library.
//!
//! - [A first program](#a-first-program)
//! - [The contract](#the-contract)
//! - [Modes](#modes)
//! - [Custom sources](#custom-sources)
//! - [Wakers](#wakers)
//! - [Deadlines](#deadlines)
//! - [Choosing a backend](#choosing-a-backend)
//! - [Several threads](#several-threads)
//! - [Shaking a program](#shaking-a-program)
//! - [For users of polling, smol and calloop](#for-users-of-polling-smol-and-calloop)
//! - [Moving from mio](#moving-from-mio)
//! - [Recipes](recipes): deadlines that can be cancelled, signals, child processes, a keyboard, bounded write buffers,
//!   a shortage of descriptors, half-close, one `Poll` per core, five sources in one loop
//! - [Platform notes](platforms), with a table of what each kernel reports in which situation
//!
//! # A first program
//!
//! This server accepts connections, reads from the first client, and ends when that client has closed.
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
//!     // 2. `Poll` waits, and fills `Events`. Make both once, and reuse them.
//!     let mut poll = Poll::new()?;
//!     let mut events = Events::with_capacity(128);
//!
//!     // 3. Register a non-blocking source: under which token, and for which readiness.
//!     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//!     let address = listener.local_addr()?;
//!     poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
//!
//!     // The client.
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
//!         // 4. Wait until a source is ready. A signal may end the wait: then wait again.
//!         match poll.poll(&mut events, pause) {
//!             Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!             result => result?,
//!         }
//!         let mut is_accepting = pause.take().is_some();
//!
//!         // 5. An event means "try now". So try, until an operation returns `WouldBlock`.
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
//! /// Reads until `WouldBlock`. Returns whether the client has closed.
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
//! The numbered comments introduce every part of the library:
//!
//! 1. Each event carries the [`Token`](crate::Token) of its registration. Servers use an index or the key of a map,
//!    runtimes a pointer.
//! 2. [`Poll`](crate::Poll) waits for events. [`Events`](crate::Events) is the buffer that one call fills. Later calls
//!    return the events that don't fit.
//! 3. A [`Registry`](crate::Registry) ties a source to a token and an [`Interest`](crate::Interest).
//! 4. [`Poll::poll`](crate::Poll::poll) blocks until an event arrives or the timeout has elapsed. `None` is no timeout.
//! 5. An [`Event`](crate::event::Event) reports a *change*. The kernel doesn't repeat it, so the
//!    program operates until `WouldBlock`.
//!
//! `examples/server.rs` in the repository is a complete server: it bounds its buffers, and handles clients that don't
//! read or don't send, half-closed connections, resets, and a shortage of descriptors.
//!
//! # The contract
//!
//! ## What a program must do
//!
//! - **Operate until `WouldBlock`.** After a readable event, keep reading (or accepting, or receiving) until
//!   `WouldBlock`. After a writable event, keep writing until `WouldBlock` or until there is no more to write. Until
//!   then no further event is guaranteed. A program may stop earlier if it remembers to continue on its own. A read of
//!   fewer bytes than asked for [isn't `WouldBlock`](#short-reads-and-writes).
//! - **Use descriptors in non-blocking mode.** This library opens them so. A descriptor from elsewhere (`from_std`,
//!   `from_raw_fd`, `IoSource::new`, `SourceFd`) needs `set_nonblocking` first: on a blocking descriptor the operation
//!   that should return `WouldBlock` blocks, and so does the thread that polls. No build checks the mode. The check
//!   would cost a system call for each registration, and refuse programs that watch a blocking descriptor on purpose,
//!   such as [a keyboard](recipes#a-keyboard).
//! - **Go on after an error that isn't the end.** A receive on a datagram socket may fail with `ConnectionRefused` for
//!   a datagram that was sent long ago. That is not `WouldBlock`: receive again.
//! - **Expect spurious events.** An event means "try now", and the operation may return `WouldBlock`.
//! - **Expect `Interrupted`** from `poll`, and call it again.
//! - **Operate through the source**, or through [`IoSource::try_io_with`](crate::IoSource::try_io_with), not through
//!   a duplicate of its descriptor. On some platforms interest must be re-armed after `WouldBlock`, and only the source
//!   can do that.
//! - **Deregister before giving a descriptor away** to another `Poll`, to `into_raw_fd` or to a child process, and
//!   before putting another value into an `IoSource`.
//!
//! ## What a program gets
//!
//! The promises hold on every backend. [`platforms`] names each exception that a kernel forces.
//!
//! 1. Events are edge-triggered, unless the [mode](#modes) is another: each change is reported once. None is ever lost.
//! 2. `register` and `reregister` report readiness that exists already. `reregister` replaces both token and interest.
//! 3. After `deregister` no later `poll` reports that registration, even if the kernel had an event queued.
//! 4. Every `usize` is a legal token.
//! 5. Registering a source twice fails with `AlreadyExists`, whether with the same `Poll` or another. Reregistering or
//!    deregistering a source that isn't registered with this `Poll` fails with `NotFound`. Debug and release builds
//!    agree.
//! 6. Registering a source that the kernel can't watch fails: a closed descriptor, a regular file.
//! 7. Readable and writable are exact up to races. Closed and error flags mean the same on all backends. An error sets
//!    readable or writable too, so a program may ignore the other flags altogether.
//! 8. A call returns at most as many events as `Events` has capacity for. Later calls return the others, and no source
//!    starves. A capacity of 0 is `InvalidInput`.
//! 9. `poll` never returns empty before its timeout has elapsed, and is late by no more than the kernel's timer makes
//!    it. Any `Duration` is legal.
//! 10. A signal handler ends `poll` with `Interrupted`.
//! 11. Other threads may register, reregister and deregister while a thread is inside `poll`. The change takes effect
//!     at once.
//! 12. After the last `wake` of a [`Waker`](crate::Waker) at least one event follows. Wakes before a poll may merge.
//!     Several wakers, each with its token, live on one `Poll`.
//! 13. A source that is dropped without being deregistered leaks nothing, closes its connection at once, and gives no
//!     event to the next source with the same descriptor number, as long as no duplicate of it is open.
//! 14. A raw descriptor (`unix::SourceFd`) loses no event, however it is read and written.
//! 15. Every descriptor is close-on-exec from the start, where the kernel can do that.
//! 16. A `Poll`'s own descriptor can be watched by another poll: it is readable when an event or a wake is pending.
//! 17. `poll`, `wake`, `reregister` and I/O allocate nothing once they are running.
//! 18. A level-triggered source is reported by each `poll` that finds it ready.
//! 19. A one-shot source has at most one event after each `register` and `reregister`, for all directions together.
//!     After it the source is silent, also about errors and its end, until `reregister`, which reports what is ready.
//! 20. An edge-triggered one-shot source keeps promise 19, by an edge.
//! 21. Of several `Poll`s that watch one source exclusively at least one gets the event.
//! 22. An interest in the end alone ([`Interest::END`](crate::Interest::END)) has no event for data, and one for the
//!     end or an error.
//!
//! # Modes
//!
//! The mode is a part of the [`Interest`](crate::Interest), so it passes through every type that implements
//! [`Source`](crate::event::Source).
//!
//! - **Edge-triggered** is the default, and right for a loop that operates until `WouldBlock`. It costs the fewest
//!   system calls.
//! - [`level`](crate::Interest::level) is right for code that handles a part at a time and relies on being called
//!   again: a library with a callback for "readable", a fair share for each connection. A source that stays ready and
//!   isn't handled keeps the thread awake. A raw descriptor, whose operations the library doesn't see, causes no
//!   repeated checks in this mode.
//! - [`one_shot`](crate::Interest::one_shot) is right if several threads handle the sources of one `Poll`: the thread
//!   that gets the event has the source to itself until it calls `reregister`. That is one system call for each event.
//! - [`exclusive`](crate::Interest::exclusive) is right if several `Poll`s share a listener: a connection wakes as few
//!   of them as the kernel can.
//! - [`Interest::END`](crate::Interest::END) is right for a source that the program isn't ready to read or write, and
//!   whose end it must learn all the same.
//!
//! ```
//! # #[cfg(feature = "net")]
//! # fn main() -> std::io::Result<()> {
//! use std::io::{ErrorKind, Read, Write};
//! use wakeful::net::{TcpListener, TcpStream};
//! use wakeful::{Events, Interest, Poll, Token};
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(8);
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! let accepted = listener.accept()?.0;
//! accepted.set_nonblocking(true)?;
//! let mut stream = TcpStream::from_std(accepted);
//! poll.registry().register(&mut stream, Token(0), Interest::READABLE.level())?;
//!
//! client.write_all(b"abc")?;
//! let mut received = Vec::new();
//! while received.len() < 3 {
//!     match poll.poll(&mut events, None) {
//!         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!         result => result?,
//!     }
//!     // One byte at a time: the next `poll` returns another event for the rest.
//!     for _ in &events {
//!         let mut byte = [0];
//!         match stream.read(&mut byte) {
//!             Ok(n) => received.extend_from_slice(&byte[..n]),
//!             Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
//!             Err(e) => return Err(e),
//!         }
//!     }
//! }
//! assert_eq!(received, b"abc");
//! # let _ = TcpListener::from_std(listener);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "net"))] fn main() {}
//! ```
//!
//! ## Short reads and writes
//!
//! A short read returns fewer bytes than the buffer holds. It is not `WouldBlock`: the end may have arrived with the
//! data. One event has then reported both, and a loop that stops at the short read waits for ever.
//!
//! A loop that calls `Read` on a `TcpStream`, a `UnixStream` or a pipe's `Receiver` may stop at a short read, and save
//! the call that returns `WouldBlock`, under two conditions:
//!
//! - No event of the registration had [`is_read_closed`](crate::event::Event::is_read_closed) or
//!   [`is_error`](crate::event::Event::is_error). After such an event, read until `Ok(0)`, `WouldBlock` or an error.
//!   Remember the flag: a later event may lack it.
//! - The peer doesn't make the kernel end a read early. The kernel does so at TCP's out-of-band byte, behind bytes of a
//!   Unix stream that carry descriptors, and between the packets of a pipe in packet mode (`O_DIRECT`). The data behind
//!   such a place causes no event before more data arrives.
//!
//! Data that arrives after that read gives an event, and so does the end.
//!
//! A loop that calls `Write` may stop at a short write unless an event of the registration had
//! [`is_write_closed`](crate::event::Event::is_write_closed) or `is_error`. New room in the send buffer gives an event,
//! and so does an error.
//!
//! All other operations repeat until `WouldBlock`. A datagram that is smaller than the buffer says nothing about the
//! next one. Inside [`try_io_with`](crate::IoSource::try_io_with) only `WouldBlock` re-arms a one-shot kernel.
//!
//! # Custom sources
//!
//! **A type made of sources** forwards the three calls of [`event::Source`](crate::event::Source), whose documentation
//! has an example.
//!
//! **A descriptor or socket that the program owns** becomes a source with [`IoSource`](crate::IoSource): a raw socket,
//! a device, a socket of another crate. It must be non-blocking. Each operation goes through
//! [`try_io_with`](crate::IoSource::try_io_with), which takes its direction:
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
//! `try_io` is the same without a direction, as in mio. On a one-shot kernel it costs more, since the source has to
//! find out which direction has blocked.
//!
//! **A descriptor that other code owns** is watched through `unix::SourceFd` (feature `os-ext`). Its operations need no
//! wrapper. A `SourceFd` neither owns the descriptor nor stores state, so each call can make a new one:
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
//! A [`Waker`](crate::Waker) lets another thread end a blocked `poll`. It carries no data: put the data where the
//! polling thread finds it, then wake.
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
//!     Ok(waker) // a waker that is dropped takes its last wake with it
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
//!             // Wakes may have merged: take all that is there.
//!             sum += receiver.try_iter().sum::<i32>();
//!         }
//!     }
//! }
//! # worker.join().unwrap()?;
//! # Ok(())
//! # }
//! ```
//!
//! Keep the waker until its event has been reported: a waker that is dropped right after `wake` takes the wake with it.
//! Where the thread that wakes may end at once, share the waker in an `Arc` with the thread that polls.
//!
//! A wake makes a system call only if the poller is blocked. Otherwise it takes two atomic operations, so frequent
//! wakes are cheap. To wake from several places, share one waker, or make several, each with its token.
//!
//! # Deadlines
//!
//! A [`Timer`](crate::Timer) is a source that is readable when its deadline has elapsed. Any thread sets and cancels
//! it. A timer has no descriptor, and setting it is cheap, so a program has one for each connection and purpose:
//! [Deadlines that can be cancelled](recipes#deadlines-that-can-be-cancelled). A program with one deadline at a time
//! passes it to [`Poll::poll_until`](crate::Poll::poll_until).
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use std::io::ErrorKind;
//! use std::time::{Duration, Instant};
//! use wakeful::{Events, Interest, Poll, Timer, Token};
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(8);
//!
//! let start = Instant::now();
//! let period = Duration::from_millis(2);
//! let mut tick = Timer::new();
//! poll.registry().register(&mut tick, Token(1), Interest::READABLE)?;
//! tick.set_every(start + period, period)?;
//!
//! let mut ticks = 0;
//! while ticks < 3 {
//!     match poll.poll(&mut events, None) {
//!         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!         result => result?,
//!     }
//!     ticks += events.iter().filter(|event| event.token() == Token(1)).count();
//! }
//! assert!(start.elapsed() >= 3 * period);
//! # Ok(())
//! # }
//! ```
//!
//! # Choosing a backend
//!
//! [`Poll::new`](crate::Poll::new) uses the best [`Backend`](crate::Backend) of the target, and a default build has no
//! other. Feature `backends` adds the others, and a program may use several at once. To choose:
//!
//! - for a run, with the environment variable `WAKEFUL_BACKEND`, for example `WAKEFUL_BACKEND=posix_poll`. `Poll::new`
//!   fails if the build has no backend of that name.
//! - in the program, with `Poll::with_backend`.
//!
//! ```
//! # #[cfg(feature = "backends")]
//! # fn main() -> std::io::Result<()> {
//! use wakeful::{Backend, Poll};
//!
//! for &backend in Backend::available() {
//!     let poll = Poll::with_backend(backend)?;
//!     println!("{}", poll.backend());
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "backends"))] fn main() {}
//! ```
//!
//! A test suite that runs once on each backend finds code that relies on one kernel's habits.
//!
//! # Several threads
//!
//! One thread at a time polls, since [`poll`](crate::Poll::poll) takes `&mut self`. Any thread may do the rest:
//! [`Registry::try_clone`](crate::Registry::try_clone) returns another handle to the same `Poll`, and its thread
//! registers sources while the first thread is blocked.
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
//! To use several cores, give each thread [a `Poll` of its own](recipes#one-poll-per-core). A source that is
//! deregistered from its `Poll` can be registered with another. When a `Poll` and all its registries have been dropped,
//! its sources are free, and another `Poll` can register them: a program may restart its loop.
//!
//! After `fork` a child shares the kernel's objects with its parent, but not the memory. The child must not use any
//! `Poll`, `Waker` or source of the parent.
//!
//! # Shaking a program
//!
//! The contract leaves kernels a freedom that they rarely use, so a program may rely on more than the contract, and its
//! author never notices. Feature `chaos` makes every `Poll` exercise that freedom. `WAKEFUL_CHAOS=17` in the
//! environment turns it on for a run; the number is the seed, and any number will do. In such a run events come late
//! (up to 2 ms), split, merged, reordered and spuriously. Operations transfer fewer bytes than they could, and may fail
//! with `WouldBlock` without need; an event always follows that. No event is lost and no byte is changed.
//! `Poll::with_chaos` does the same to one `Poll`.
//!
//! A process reads `WAKEFUL_CHAOS` and `WAKEFUL_BACKEND` once, and ignores them if it runs with more rights than its
//! user.
//!
//! On a real kernel the seed fixes chaos's choices but not the timing, so reproducing a failure can take several runs.
//! `examples/shaken.rs` is a server whose test passes without chaos and fails with every seed.
//!
//! Chaos has limits:
//!
//! - It doesn't see operations on a `SourceFd`, so it affects only the events of one. A `SourceFd` that is closed
//!   without `deregister` may be reported for another 2 ms.
//! - It delays no event of sources that share a token, and no event at all while another poll watches the descriptor of
//!   this one.
//! - The events of a level-triggered source come late, and neither split nor merged. The kernel repeats them, and none
//!   follows the operation that used the readiness up.
//! - It doesn't affect wakes and `try_io`.
//!
//! Feature `sim` goes further: its sources need no kernel, so a seed repeats a run exactly.
//!
//! ## A program whose dependencies use the library
//!
//! `chaos`, `backends` and `sim` are off by default. The owner of a program turns one on in the manifest at the top,
//! and no code changes: cargo builds a package once, with the features that any dependent asks for. If a dependency
//! uses this library, add this line:
//!
//! ```toml
//! wakeful = { package = "wakeful-io", version = "0.1", features = ["chaos"] }
//! ```
//!
//! A program that is written for mio, such as one on tokio, names the package that the [patch](#moving-from-mio)
//! replaces. `compat/mio` has the same features:
//!
//! ```toml
//! [dependencies]
//! tokio = { version = "1", features = ["full"] }
//! mio = { version = "1", features = ["chaos"] }
//!
//! [patch.crates-io]
//! mio = { path = "wakeful/compat/mio" }
//! ```
//!
//! ```sh
//! cargo update -p mio
//! WAKEFUL_CHAOS=17 cargo test
//! ```
//!
//! A program that is written for polling, such as one on smol or calloop, does the same with `compat/polling`. Its
//! features are `chaos` and `backends`:
//!
//! ```toml
//! [dependencies]
//! calloop = "0.14"
//! polling = { version = "3", features = ["chaos"] }
//!
//! [patch.crates-io]
//! polling = { path = "wakeful/compat/polling" }
//! ```
//!
//! A program may have several kinds of dependencies, and then a line for each. If one of them uses the library by its
//! own name, the patches name it as well: without `wakeful-io = { path = "wakeful" }`, cargo builds the library twice.
//!
//! # For users of polling, smol and calloop
//!
//! The package `compat/polling` has the API of polling 3, version for version. A program whose dependencies use polling
//! adds one line to its `Cargo.toml`, and changes no code:
//!
//! ```toml
//! [patch.crates-io]
//! polling = { path = "wakeful/compat/polling" }
//! ```
//!
//! An existing lock file keeps the polling that it names, until `cargo update -p polling`. With the line for mio beside
//! it ([below](#moving-from-mio)), smol, calloop and tokio in one program stand on one library. `examples/calloop`
//! has the manifest of a program on calloop.
//!
//! Differences that a program may notice:
//!
//! - Timeouts are kept to the nanosecond where the kernel can, and are not rounded up to milliseconds.
//! - `Poller::notify` makes a system call only if a thread waits, or if the program has obtained the poller's
//!   descriptor.
//! - The edge-triggered modes exist on every platform, so `supports_edge` is `true` on Windows.
//! - A source with the interest `Event::none` gets an event for a half-close by the peer as well.
//! - The descriptor of a poller with `posix_poll` is readable for notifications alone.
//!
//! # Moving from mio
//!
//! The API is that of mio 1, so a program that uses mio itself changes the name in `use`. A program whose
//! *dependencies* use mio changes no code. It adds this to its `Cargo.toml`, with the path of a checkout of the
//! repository:
//!
//! ```toml
//! [patch.crates-io]
//! mio = { path = "wakeful/compat/mio" }
//! ```
//!
//! An existing lock file keeps the mio that it names, until `cargo update -p mio`. `cargo tree -i mio` shows which one
//! is built: a `mio` with a path is this library.
//!
//! A crate that implements `mio::event::Source` for types of its own needs the patch too: for the compiler, mio's trait
//! and [`event::Source`](crate::event::Source) are two traits.
//!
//! Additions: a public [`IoSource`](crate::IoSource), `try_io_with`, [`Poll::poll_until`](crate::Poll::poll_until),
//! `AsFd` for `Poll`, several wakers on one `Poll`, [`Events::len`](crate::Events::len), and with their features
//! `Poll::with_backend`, `Poll::with_chaos` and `sim`.
//!
//! Differences that a program may notice:
//!
//! - Cases that mio leaves open have one result, in debug and release: registering twice, a second `Poll`, and a
//!   capacity of no events (`InvalidInput`).
//! - Timeouts are not rounded up to milliseconds, so a loop that relied on the rounding will spin faster.
//! - A `Waker` in a child after `fork` doesn't wake the parent.
//! - On Linux reading, writing, accepting, registering and waiting go to the kernel directly. Tools that replace libc's
//!   functions (`LD_PRELOAD`: torsocks, libfaketime) don't see these calls. `RUSTFLAGS="--cfg wakeful_libc_wrappers"`
//!   makes the library call libc's functions.
//! - A socket takes more memory: 16 bytes on 64-bit Unix, where mio's takes 4 in release builds.
//! - The `Debug` output of `Event` differs.
//! - WASI has a `Waker`. Its first preview has `bind`, `connect` and `UdpSocket` too, which fail with `Unsupported`.
//! - macOS and the BSDs have not been run yet: see [`platforms`].

#[doc = include_str!("guide/recipes.md")]
#[doc = "```ignore"]
#[doc = include_str!("guide/five_sources.rs")]
#[doc = "```"]
pub mod recipes {}

#[doc = include_str!("../PLATFORMS.md")]
pub mod platforms {}

/// The README's program is run with the doctests.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
mod readme {}
