//! Chaos: an unmodified program gets rare but legal events, and loses nothing. `tests/model` runs random programs
//! under it.

#[cfg(unix)]
use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
#[cfg(unix)]
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Backend, Events, Interest, Poll, Token};

const BYTES: usize = 1 << 20;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    loop {
        match listener.accept() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            result => break (one, result.unwrap().0),
        }
    }
}

/// Moves a megabyte by edges, and returns the number of waits.
fn transfer(backend: Backend, seed: u64, is_vectored: bool) -> usize {
    let mut poll = Poll::with_chaos(backend, seed).unwrap();
    let mut events = Events::with_capacity(8);
    let (mut one, mut other) = pair();
    poll.registry().register(&mut one, Token(1), Interest::WRITABLE).unwrap();
    poll.registry().register(&mut other, Token(2), Interest::READABLE).unwrap();

    let byte_at = |position: usize| (position * 7 / 3) as u8;
    let data: Vec<u8> = (0..BYTES).map(byte_at).collect();
    let (mut sent, mut received, mut blocked) = (0, 0, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut buf = vec![0; 50_000];
    while received < BYTES {
        poll.poll_until(&mut events, deadline).unwrap();
        assert!(Instant::now() < deadline, "stuck after {sent} and {received} bytes");
        for event in &events {
            loop {
                let result = match event.token() {
                    Token(1) if sent == BYTES => break,
                    Token(1) => {
                        let (first, second) = data[sent..].split_at((BYTES - sent) / 2);
                        let written = match is_vectored {
                            true => one.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]),
                            false => one.write(&data[sent..]),
                        };
                        written.map(|n| sent += n)
                    }
                    _ => {
                        let (first, second) = buf.split_at_mut(100);
                        let read = match is_vectored {
                            true => {
                                other.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)])
                            }
                            false => other.read(&mut buf),
                        };
                        read.map(|n| {
                            assert!(n > 0 && buf[..n] == data[received..received + n]);
                            received += n;
                        })
                    }
                };
                match result {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        blocked += 1;
                        break;
                    }
                    result => result.unwrap(),
                }
            }
        }
    }
    blocked
}

#[test]
fn nothing_is_lost() {
    for &backend in Backend::available() {
        for is_vectored in [false, true] {
            let blocked: usize = (0..10).map(|seed| transfer(backend, seed, is_vectored)).sum();
            assert!(blocked > 20, "{backend}: nothing was shaken");
        }
    }
}

/// A short transfer counts as `WouldBlock`: an event follows for the rest.
#[test]
fn after_a_short_transfer_an_event_reports_the_rest() {
    const COUNT: usize = 100;
    for &backend in Backend::available() {
        for seed in 0..20 {
            let mut poll = Poll::with_chaos(backend, seed).unwrap();
            let mut events = Events::with_capacity(8);
            let (mut one, mut other) = pair();
            poll.registry().register(&mut one, Token(1), Interest::WRITABLE).unwrap();
            poll.registry().register(&mut other, Token(2), Interest::READABLE).unwrap();
            let (mut sent, mut received) = (0, 0);
            let deadline = Instant::now() + Duration::from_secs(20);
            while received < COUNT {
                poll.poll_until(&mut events, deadline).unwrap();
                assert!(
                    Instant::now() < deadline,
                    "{backend}, seed {seed}: stuck after {sent} and {received} bytes"
                );
                for event in &events {
                    let result = match event.token() {
                        Token(1) => one.write(&[7; COUNT][sent..]).map(|n| sent += n),
                        _ => other.read(&mut [0; 2 * COUNT]).map(|n| received += n),
                    };
                    assert!(!result.is_err_and(|e| e.kind() != ErrorKind::WouldBlock));
                }
            }
        }
    }
}

/// A vectored operation may be short, as with a kernel.
#[test]
#[cfg(not(target_family = "wasm"))] // after a write the next may block, though there is room
fn vectored_operations_are_short_too() {
    let poll = Poll::with_chaos(Backend::default(), 1).unwrap();
    let (mut one, _other) = pair();
    poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
    let lengths: Vec<usize> = (0..100)
        .map(|_| {
            one.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[1; 5]), IoSlice::new(&[2; 5])]).unwrap()
        })
        .collect();
    assert!(lengths.contains(&10) && lengths.iter().any(|&length| length < 5), "{lengths:?}");
}

/// A blocked `poll` returns the event that follows a pretended `WouldBlock` in another thread.
#[test]
#[cfg(not(target_family = "wasm"))] // no threads
fn a_blocked_poll_gets_the_event_of_another_threads_operation() {
    for &backend in Backend::available() {
        for seed in 0..20 {
            let mut poll = Poll::with_chaos(backend, seed).unwrap();
            let mut events = Events::with_capacity(8);
            let (mut one, mut other) = pair();
            poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
            other.write_all(&[7; 200]).unwrap();
            while one.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
            // Until every delayed event has come; no event is invented.
            loop {
                poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
                if events.is_empty() {
                    break;
                }
            }
            let deadline = Instant::now() + Duration::from_secs(20);
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(1));
                    let is_reported = (0..200).any(|_| (&one).read(&mut [0]).is_err());
                    assert!(is_reported, "nothing was shaken");
                });
                poll.poll_until(&mut events, deadline).unwrap();
            });
            assert!(Instant::now() < deadline, "{backend}, seed {seed}: it slept on");
        }
    }
}

/// Events of a level-triggered source are late, but none comes after the program has used the readiness up.
#[test]
#[cfg(all(unix, feature = "os-ext"))]
fn a_level_triggered_event_is_never_out_of_date() {
    use std::os::unix::net::UnixStream;

    use wakeful::unix::SourceFd;

    for &backend in Backend::available() {
        let mut late = 0;
        for seed in 0..20 {
            let mut poll = Poll::with_chaos(backend, seed).unwrap();
            let mut events = Events::with_capacity(8);
            let (mut one, mut other) = UnixStream::pair().unwrap();
            one.set_nonblocking(true).unwrap();
            let interest = Interest::READABLE.level();
            poll.registry().register(&mut SourceFd(&one.as_raw_fd()), Token(1), interest).unwrap();
            for _ in 0..20 {
                other.write_all(b"x").unwrap();
                poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
                if events.is_empty() {
                    late += 1;
                    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                }
                assert!(events.iter().any(|event| event.is_readable()), "{backend}, seed {seed}: lost");
                assert_eq!(one.read(&mut [0; 2]).unwrap(), 1);
                poll.poll(&mut events, Some(Duration::from_millis(3))).unwrap();
                assert!(events.is_empty(), "{backend}, seed {seed}: {events:?}");
            }
        }
        assert!(late > 20, "{backend}: nothing was shaken");
    }
}

/// A source may outlive its `Poll`, and then no event can follow a pretended `WouldBlock`.
#[test]
#[cfg(not(target_family = "wasm"))] // a connection there needs polls to be made
fn without_a_poll_nothing_pretends() {
    let poll = Poll::with_chaos(Backend::default(), 1).unwrap();
    let (mut one, _other) = pair();
    poll.registry().register(&mut one, Token(1), Interest::READABLE | Interest::WRITABLE).unwrap();
    let _registry = poll.registry().try_clone().unwrap();
    drop(poll);
    for _ in 0..200 {
        assert_eq!(one.write(b"four").unwrap(), 4);
    }
}

/// With room for one event, delayed events alternate with the kernel's.
#[test]
#[cfg(not(target_family = "wasm"))] // a connection there needs polls to be made
fn with_room_for_one_no_source_starves() {
    for &backend in Backend::available() {
        let mut poll = Poll::with_chaos(backend, 3).unwrap();
        let mut events = Events::with_capacity(1);
        let mut pairs: Vec<_> = (0..50).map(|_| pair()).collect();
        for (token, (one, _)) in pairs.iter_mut().enumerate() {
            poll.registry().register(one, Token(token), Interest::READABLE).unwrap();
        }
        let (mut quiet, mut peer) = pair();
        poll.registry().register(&mut quiet, Token(99), Interest::READABLE).unwrap();
        let has_come = (0..5000).any(|round| {
            // Each time some sources pretend to block, and their events alone would fill the room for ever.
            for (one, _) in &mut pairs {
                assert_eq!(one.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            }
            if round == 500 {
                peer.write_all(b"x").unwrap();
            }
            poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
            assert!(!events.is_empty(), "{backend}: all were lost");
            round >= 500 && events.iter().any(|event| event.token() == Token(99))
        });
        assert!(has_come, "{backend}");
    }
}

#[cfg(unix)]
fn is_readable(fd: RawFd) -> bool {
    let mut fd = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&mut fd, 1, 0) == 1 }
}

/// An event that had no room when it was due must show too.
#[cfg(unix)]
#[test]
fn events_without_room_make_the_descriptor_readable_again() {
    const COUNT: usize = 8;
    let mut held = 0;
    for seed in 0..20 {
        let mut poll = Poll::with_chaos(Backend::default(), seed).unwrap();
        let mut pairs: Vec<_> = (0..COUNT).map(|_| pair()).collect();
        for (token, (one, other)) in pairs.iter_mut().enumerate() {
            poll.registry().register(one, Token(token), Interest::READABLE).unwrap();
            other.write_all(b"x").unwrap();
            while one.peek(&mut [0]).is_err() {
                thread::yield_now();
            }
        }
        let mut events = Events::with_capacity(2 * COUNT);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        let mut reported: BTreeSet<Token> = events.iter().map(|event| event.token()).collect();
        held += COUNT - reported.len();
        let mut events = Events::with_capacity(1);
        // Once only: each call of `as_raw_fd` would notify again.
        let fd = poll.as_raw_fd();
        while reported.len() < COUNT {
            assert!(is_readable(fd), "seed {seed}: only {reported:?}");
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            reported.extend(events.iter().map(|event| event.token()));
        }
    }
    assert!(held > 20, "nothing was held back");
}

/// A delayed event isn't visible on the poll's descriptor. Once the descriptor is taken, it must be.
#[cfg(unix)]
#[test]
fn a_watcher_of_the_descriptor_misses_nothing() {
    let mut held = 0;
    for seed in 0..50 {
        let mut poll = Poll::with_chaos(Backend::default(), seed).unwrap();
        let mut events = Events::with_capacity(8);
        let (mut one, mut other) = pair();
        poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
        other.write_all(b"x").unwrap();
        while one.peek(&mut [0]).is_err() {
            std::thread::yield_now();
        }
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        if events.is_empty() {
            held += 1;
            let fd = poll.as_raw_fd();
            assert!(is_readable(fd), "seed {seed}");
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(!events.is_empty(), "seed {seed}");
            // From then on nothing is held back.
            for _ in 0..10 {
                while one.read(&mut [0; 8]).is_ok() {}
                other.write_all(b"x").unwrap();
                while one.peek(&mut [0]).is_err() {
                    std::thread::yield_now();
                }
                poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
                assert!(!events.is_empty(), "seed {seed}");
            }
        }
    }
    assert!(held > 3, "nothing was held back");
}

#[test]
#[cfg(not(target_family = "wasm"))] // no second process
fn the_environment_must_name_a_number() {
    if std::env::var_os("WAKEFUL_CHAOS_CHILD").is_some() {
        assert_eq!(Poll::new().unwrap_err().kind(), ErrorKind::InvalidInput);
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_environment_must_name_a_number"])
        .env("WAKEFUL_CHAOS_CHILD", "1")
        .env("WAKEFUL_CHAOS", "much")
        .status();
    assert!(status.unwrap().success());
}

#[cfg(not(target_family = "wasm"))] // no threads
mod deregistration {
    use super::*;

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;

    use wakeful::event::Source;

    pub const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

    /// Tokens are used once, and grow. What a poll reports that has begun after a deregistration is younger.
    pub fn nothing_comes_after_deregistration<S: Source + Send + 'static>(
        backend: Backend,
        seed: u64,
        mut source: S,
        mut stir: impl FnMut(&mut S) + Send + 'static,
    ) {
        const ROUNDS: usize = 300;
        let mut poll = Poll::with_chaos(backend, seed).unwrap();
        let mut events = Events::with_capacity(8);
        let registry = poll.registry().try_clone().unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let changer = {
            let ended = Arc::clone(&ended);
            thread::spawn(move || {
                for round in 1..=ROUNDS {
                    registry.register(&mut source, Token(2 * round), BOTH).unwrap();
                    for _ in 0..round % 7 {
                        stir(&mut source);
                        thread::yield_now();
                    }
                    registry.reregister(&mut source, Token(2 * round + 1), BOTH).unwrap();
                    stir(&mut source);
                    registry.deregister(&mut source).unwrap();
                    ended.store(2 * round + 1, Ordering::Release);
                }
            })
        };
        while !changer.is_finished() {
            let newest_dead = ended.load(Ordering::Acquire);
            poll.poll(&mut events, Some(Duration::from_micros(100))).unwrap();
            for event in &events {
                assert!(event.token().0 > newest_dead, "{backend}: {event:?} after {newest_dead}");
            }
        }
        changer.join().unwrap();
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        assert!(events.is_empty(), "{backend}: {events:?}");
    }

    #[test]
    fn no_event_outlives_its_registration() {
        for &backend in Backend::available() {
            for seed in 0..5 {
                let (source, peer) = pair();
                nothing_comes_after_deregistration(backend, seed, source, move |source| {
                    let _ = (&peer).write(b"x");
                    let _ = source.read(&mut [0; 4]);
                });
            }
        }
    }
}

#[cfg(all(windows, feature = "os-ext"))]
mod windows {
    use super::*;

    use std::io;
    use std::os::windows::io::AsRawSocket;

    use super::deregistration::{nothing_comes_after_deregistration, BOTH};
    use wakeful::event::Source;
    use wakeful::windows::{NamedPipe, SourceSocket, UserSource};
    use wakeful::Registry;

    #[test]
    fn no_event_of_a_users_source_outlives_its_registration() {
        for seed in 0..5 {
            let source = UserSource::new();
            let poster = source.poster();
            let mut posts = 0;
            nothing_comes_after_deregistration(Backend::Iocp, seed, source, move |_| {
                poster.post(BOTH).unwrap();
                posts += 1;
                if posts % 8 == 0 {
                    // It is too late for the poll that was in progress at its registration, and can be delayed.
                    thread::sleep(Duration::from_millis(1));
                    poster.post(BOTH).unwrap();
                }
            });
        }
    }

    #[test]
    fn no_event_of_a_pipe_outlives_its_registration() {
        for seed in 0..5 {
            let name = format!(r"\\.\pipe\wakeful-chaos-{}-{seed}", std::process::id());
            let source = NamedPipe::new(&name).unwrap();
            let _ = source.connect();
            let mut client = NamedPipe::open(&name).unwrap();
            let other = Poll::new().unwrap();
            other.registry().register(&mut client, Token(0), BOTH).unwrap();
            nothing_comes_after_deregistration(Backend::Iocp, seed, source, move |source| {
                let _ = (&client).write(b"x");
                let _ = source.read(&mut [0; 4]);
                let _ = &other;
            });
        }
    }

    #[test]
    fn no_event_of_a_raw_socket_outlives_its_registration() {
        struct Raw(TcpStream);

        impl Source for Raw {
            fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
                SourceSocket(&self.0.as_raw_socket()).register(registry, token, interest)
            }

            fn reregister(
                &mut self,
                registry: &Registry,
                token: Token,
                interest: Interest,
            ) -> io::Result<()> {
                SourceSocket(&self.0.as_raw_socket()).reregister(registry, token, interest)
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                SourceSocket(&self.0.as_raw_socket()).deregister(registry)
            }
        }

        for seed in 0..5 {
            let (source, peer) = pair();
            nothing_comes_after_deregistration(Backend::Iocp, seed, Raw(source), move |source| {
                let _ = (&peer).write(b"x");
                let _ = source.0.read(&mut [0; 4]);
            });
        }
    }

    /// Dropping a socket removes no event of a source with the same token.
    #[test]
    fn sources_that_share_a_token_keep_their_events() {
        const SHARED: Token = Token(7);
        for seed in 0..200 {
            let mut poll = Poll::with_chaos(Backend::Iocp, seed).unwrap();
            let mut events = Events::with_capacity(8);
            let (mut socket, _peer) = pair();
            let mut posted = UserSource::new();
            // Registered first, so that a search by the token would find this one.
            poll.registry().register(&mut socket, SHARED, Interest::READABLE).unwrap();
            poll.registry().register(&mut posted, SHARED, Interest::READABLE).unwrap();
            posted.poster().post(Interest::READABLE).unwrap();
            let mut was_reported = false;
            // If it is delayed here, it must not go with the socket.
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            was_reported |= !events.is_empty();
            poll.registry().deregister(&mut socket).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            while !was_reported {
                poll.poll_until(&mut events, deadline).unwrap();
                was_reported = events.iter().any(|event| event.token() == SHARED);
                assert!(Instant::now() < deadline, "seed {seed}: the event was lost");
            }
        }
    }
}
