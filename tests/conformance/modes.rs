//! Promises 18 to 22: level-triggered and one-shot registrations, exclusive wake-ups, and the interest in the end
//! alone. Each promise is tested with every kind of source that the platform has.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;

use wakeful::event::Source;
use wakeful::net::TcpStream;
use wakeful::{Backend, Interest, Registry, Token};

use crate::support::*;

on_every_backend![
    level_reports_until_all_is_read,
    level_reports_room_to_write,
    level_through_one_slot_serves_all,
    level_under_an_operation_that_blocks,
    level_of_each_kind_of_source,
    one_shot_reports_once,
    one_shot_is_one_event_for_both_directions,
    one_shot_is_silent_about_the_end,
    one_shot_reports_what_is_so_again,
    one_shot_of_each_kind_of_source,
    from_mode_to_mode,
    end_is_no_event_for_data,
    end_by_a_half_close,
    end_that_has_come_already,
    end_at_each_poll,
    end_once,
    exclusive_reports,
    exclusive_is_refused_with_more,
    exclusive_to_and_fro,
];

const LEVEL: Interest = READ.level();
const ONCE: Interest = READ.one_shot();
const EDGE_ONCE: Interest = READ.edge_one_shot();

/// The modes of one event.
const ONE_SHOTS: [fn(Interest) -> Interest; 2] = [Interest::one_shot, Interest::edge_one_shot];

/// Promise 18.
fn level_reports_until_all_is_read(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, LEVEL);
    t.quiet();
    send(&b, b"abc");
    for left in (1..=3).rev() {
        for _ in 0..3 {
            t.expect(&[want(A, READ)]);
        }
        assert_eq!(read_exactly(&a, 1).len(), 1, "{left}");
    }
    use_up(&a);
    t.quiet();
    send(&b, b"d");
    t.expect(&[want(A, READ)]);
    t.deregister(&mut a);
    t.quiet();
}

fn level_reports_room_to_write(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, BOTH.level());
    for _ in 0..3 {
        t.expect(&[want(A, WRITE)]);
    }
    send(&b, b"x");
    await_bytes(&a);
    for _ in 0..3 {
        t.expect(&[want(A, BOTH)]);
    }
    t.reregister(&mut a, A, LEVEL);
    drain(&a);
    t.quiet();
}

fn level_through_one_slot_serves_all(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 1);
    let mut pairs: Vec<_> = (0..5).map(|_| tcp_pair()).collect();
    for (index, (a, b)) in pairs.iter_mut().enumerate() {
        send(&*b, b"x");
        await_bytes(a);
        t.register(a, Token(index), LEVEL);
    }
    let mut counts = [0; 5];
    for _ in 0..50 {
        for event in t.poll_for(PATIENCE) {
            counts[event.token().0] += 1;
        }
    }
    assert!(counts.iter().all(|&count| count >= 5), "{counts:?}");
}

/// No operation is needed to arm it, and none disarms it.
fn level_under_an_operation_that_blocks(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, LEVEL);
    for round in 0..20 {
        assert!(drain(&a).is_empty());
        t.quiet();
        send(&b, &[round]);
        t.expect(&[want(A, READ)]);
        t.expect(&[want(A, READ)]);
        assert_eq!(read_exactly(&a, 1), [round]);
    }
}

/// Ends the readiness of what was read. WASI's second preview: a runtime may report a socket as readable until a read
/// has failed with `WouldBlock`.
fn use_up(of: &TcpStream) {
    assert!(drain(of).is_empty());
}

/// A source and what makes it readable, and what uses that up.
struct Ready {
    source: Box<dyn Source>,
    make: Box<dyn FnMut()>,
    use_up: Box<dyn FnMut()>,
}

/// Sources of each kind that the platform has. Their parts are shared with the closures.
fn sources() -> Vec<(&'static str, Ready)> {
    use std::cell::RefCell;
    use std::rc::Rc;

    /// A source that the closures use as well.
    struct Shared<S>(Rc<RefCell<S>>);

    impl<S: Source> Source for Shared<S> {
        fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            self.0.borrow_mut().register(registry, token, interest)
        }

        fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            self.0.borrow_mut().reregister(registry, token, interest)
        }

        fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            self.0.borrow_mut().deregister(registry)
        }
    }

    fn ready<S: Source + 'static>(
        source: S,
        make: impl FnMut() + 'static,
        mut use_up: impl FnMut(&mut S) + 'static,
    ) -> Ready {
        let source = Rc::new(RefCell::new(source));
        let other = Rc::clone(&source);
        let use_up = Box::new(move || use_up(&mut other.borrow_mut()));
        Ready { source: Box::new(Shared(source)), make: Box::new(make), use_up }
    }

    let mut all = Vec::new();
    let (a, b) = tcp_pair();
    let read = |a: &mut TcpStream| {
        assert_eq!(read_exactly(&*a, 1), b"x");
        self::use_up(a);
    };
    all.push(("TCP", ready(a, move || send(&b, b"x"), read)));

    #[cfg(not(target_os = "wasi"))]
    {
        let (one, address) = udp();
        let (other, _) = udp();
        let receive = |one: &mut wakeful::net::UdpSocket| {
            assert_eq!(until_ready(|| one.recv_from(&mut [0; 8])).0, 1);
        };
        all.push(("UDP", ready(one, move || assert_eq!(other.send_to(b"x", address).unwrap(), 1), receive)));

        let (listener, address) = listener();
        let connect = move || drop(std::net::TcpStream::connect(address).unwrap());
        all.push(("listener", ready(listener, connect, |listener| drop(until_ready(|| listener.accept())))));
    }
    #[cfg(unix)]
    {
        let (sender, receiver) = wakeful::unix::pipe::new().unwrap();
        let read = |receiver: &mut wakeful::unix::pipe::Receiver| {
            assert_eq!(read_exactly(&*receiver, 1), b"x");
        };
        all.push(("pipe", ready(receiver, move || send(&sender, b"x"), read)));

        struct Raw(std::os::unix::net::UnixStream);

        impl Source for Raw {
            fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
                use std::os::fd::AsRawFd;
                wakeful::unix::SourceFd(&self.0.as_raw_fd()).register(registry, token, interest)
            }

            fn reregister(
                &mut self,
                registry: &Registry,
                token: Token,
                interest: Interest,
            ) -> io::Result<()> {
                use std::os::fd::AsRawFd;
                wakeful::unix::SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interest)
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                use std::os::fd::AsRawFd;
                wakeful::unix::SourceFd(&self.0.as_raw_fd()).deregister(registry)
            }
        }

        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        let read = |raw: &mut Raw| assert_eq!(read_exactly(&raw.0, 1), b"x");
        all.push(("SourceFd", ready(Raw(one), move || send(&other, b"x"), read)));
    }
    all
}

fn level_of_each_kind_of_source(backend: Backend) {
    for (kind, Ready { mut source, mut make, mut use_up }) in sources() {
        let mut t = Tester::new(backend);
        t.register(&mut *source, A, LEVEL);
        t.quiet();
        for _ in 0..3 {
            make();
            for _ in 0..3 {
                t.expect(&[want(A, READ)]);
            }
            use_up();
            t.quiet();
        }
        t.deregister(&mut *source);
        make();
        t.quiet();
        assert!(t.events.is_empty() || is_shaken(), "{kind}");
    }
}

/// Promise 19.
fn one_shot_reports_once(backend: Backend) {
    for interest in [ONCE, EDGE_ONCE] {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        t.register(&mut a, A, interest);
        t.quiet();
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        quiet_under(&mut t, || {
            send(&b, b"y");
            assert_eq!(read_exactly(&a, 2), b"xy");
            assert!(drain(&a).is_empty());
            send(&b, b"z");
            await_bytes(&a);
        });
        t.reregister(&mut a, B, interest);
        t.expect(&[want(B, READ)]);
        quiet_under(&mut t, || assert_eq!(read_exactly(&a, 1), b"z"));
        use_up(&a);
        t.reregister(&mut a, C, interest);
        t.quiet();
        send(&b, b"x");
        t.expect(&[want(C, READ)]);
        t.deregister(&mut a);
        t.quiet();
    }
}

/// Fails for an event after `change`, also if it is late.
#[track_caller]
fn quiet_under(t: &mut Tester, change: impl FnOnce()) {
    change();
    for _ in 0..3 {
        let events = t.poll_for(std::time::Duration::from_millis(2));
        assert!(events.is_empty(), "the event has come already: {events:?}");
    }
}

fn one_shot_is_one_event_for_both_directions(backend: Backend) {
    for one_shot in ONE_SHOTS {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        send(&b, b"x");
        await_bytes(&a);
        t.register(&mut a, A, one_shot(BOTH));
        t.expect(&[want(A, BOTH)]);
        quiet_under(&mut t, || send(&b, b"y"));
        drain(&a);
        // One direction is ready; the other becomes so when the event has come.
        t.reregister(&mut a, B, one_shot(BOTH));
        let events = t.poll_for(PATIENCE);
        assert!(matches!(&events[..], [event] if event.token() == B && event.is_writable()), "{events:?}");
        quiet_under(&mut t, || send(&b, b"z"));
    }
}

fn one_shot_is_silent_about_the_end(backend: Backend) {
    for one_shot in ONE_SHOTS {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        t.register(&mut a, A, one_shot(BOTH));
        t.expect(&[want(A, WRITE)]);
        send(&a, b"unread by the peer: its close is a reset");
        quiet_under(&mut t, || {
            settle();
            drop(b);
            settle();
        });
        t.reregister(&mut a, B, one_shot(READ));
        t.expect(&[want(B, READ)]);
        quiet_under(&mut t, || {});
    }
}

fn one_shot_reports_what_is_so_again(backend: Backend) {
    for one_shot in ONE_SHOTS {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        send(&b, b"unread");
        await_bytes(&a);
        t.register(&mut a, Token(0), one_shot(READ));
        for round in 1..20 {
            t.expect(&[want(Token(round - 1), READ)]);
            quiet_under(&mut t, || {});
            t.reregister(&mut a, Token(round), one_shot(READ));
        }
        t.deregister(&mut a);
        t.quiet();
    }
}

fn one_shot_of_each_kind_of_source(backend: Backend) {
    for (_, Ready { mut source, mut make, mut use_up }) in sources() {
        let mut t = Tester::new(backend);
        t.register(&mut *source, A, ONCE);
        for interest in [ONCE, EDGE_ONCE, ONCE, EDGE_ONCE] {
            t.quiet();
            make();
            t.expect(&[want(A, READ)]);
            quiet_under(&mut t, || {});
            use_up();
            quiet_under(&mut t, || {
                make();
                use_up();
            });
            t.reregister(&mut *source, A, interest);
        }
    }
}

fn from_mode_to_mode(backend: Backend) {
    let modes: [fn(Interest) -> Interest; 4] =
        [|interest| interest, Interest::level, Interest::one_shot, Interest::edge_one_shot];
    for before in modes {
        for after in modes {
            let mut t = Tester::new(backend);
            let (mut a, b) = tcp_pair();
            t.register(&mut a, A, before(READ));
            send(&b, b"x");
            t.expect(&[want(A, READ)]);
            t.reregister(&mut a, B, after(BOTH));
            t.expect(&[want(B, BOTH)]);
            assert_eq!(read_exactly(&a, 1), b"x");
            t.reregister(&mut a, C, after(READ));
            // Readiness is used up: all agree.
            drain(&a);
            t.quiet();
            send(&b, b"y");
            t.expect(&[want(C, READ)]);
            t.deregister(&mut a);
            t.quiet();
        }
    }
}

/// Whether the kernel reports an end without an interest in a direction.
fn registers_end(t: &Tester, source: &mut TcpStream, interest: Interest) -> bool {
    if !cfg!(target_os = "wasi") {
        t.register(source, A, interest);
        return true;
    }
    assert_kind(t.registry().register(source, A, interest), ErrorKind::Unsupported);
    false
}

/// Promise 22.
fn end_is_no_event_for_data(backend: Backend) {
    for interest in [Interest::END, Interest::END.level(), Interest::END.one_shot()] {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        if !registers_end(&t, &mut a, interest) {
            return;
        }
        quiet_under(&mut t, || {
            send(&b, b"data");
            await_bytes(&a);
        });
        quiet_under(&mut t, || assert_eq!(read_exactly(&a, 4), b"data"));
        drop(b);
        let events = t.poll_for(PATIENCE);
        assert!(events.iter().all(|event| event.token() == A && event.is_readable()), "{events:?}");
        assert!(events.iter().any(|event| event.is_read_closed()), "{events:?}");
    }
}

fn end_by_a_half_close(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    if !registers_end(&t, &mut a, Interest::END) {
        return;
    }
    b.shutdown(Shutdown::Write).unwrap();
    let events = t.poll_for(PATIENCE);
    assert!(matches!(&events[..], [event] if event.token() == A && event.is_readable()), "{events:?}");
    assert_eq!((&a).read(&mut [0]).unwrap(), 0);
}

fn end_that_has_come_already(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    drop(b);
    settle();
    if registers_end(&t, &mut a, Interest::END) {
        let events = t.poll_for(PATIENCE);
        assert!(matches!(&events[..], [event] if event.token() == A && event.is_readable()), "{events:?}");
    }
}

fn end_at_each_poll(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    if registers_end(&t, &mut a, Interest::END.level()) {
        drop(b);
        for _ in 0..5 {
            assert_eq!(t.poll_for(PATIENCE).len(), 1);
        }
        t.deregister(&mut a);
        t.quiet();
    }
}

fn end_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    if registers_end(&t, &mut a, Interest::END.one_shot()) {
        b.shutdown(Shutdown::Write).unwrap();
        assert_eq!(t.poll_for(PATIENCE).len(), 1);
        quiet_under(&mut t, || drop(b));
        t.reregister(&mut a, B, Interest::END.one_shot());
        let events = t.poll_for(PATIENCE);
        assert!(matches!(&events[..], [event] if event.token() == B), "{events:?}");
    }
}

/// Promise 21: at least one of several polls.
fn exclusive_reports(backend: Backend) {
    for mode in [|interest: Interest| interest, Interest::level as fn(Interest) -> Interest] {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        t.register(&mut a, A, mode(READ).exclusive());
        t.quiet();
        for _ in 0..3 {
            send(&b, b"x");
            t.expect(&[want(A, READ)]);
            assert_eq!(read_exactly(&a, 1), b"x");
            assert!(drain(&a).is_empty());
        }
        t.deregister(&mut a);
        t.quiet();
    }
}

fn exclusive_is_refused_with_more(backend: Backend) {
    let t = Tester::new(backend);
    let (mut a, _b) = tcp_pair();
    let refused = [READ.one_shot(), READ.edge_one_shot(), READ | Interest::END, Interest::END];
    for interest in refused.map(Interest::exclusive) {
        assert_kind(t.registry().register(&mut a, A, interest), ErrorKind::Unsupported);
    }
    t.register(&mut a, A, READ);
    for interest in refused.map(Interest::exclusive) {
        assert_kind(t.registry().reregister(&mut a, A, interest), ErrorKind::Unsupported);
    }
    t.deregister(&mut a);
}

fn exclusive_to_and_fro(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for round in 0..4 {
        let token = Token(round);
        let interest = if round % 2 == 0 { READ.exclusive() } else { LEVEL };
        send(&b, b"x");
        await_bytes(&a);
        t.reregister(&mut a, token, interest);
        t.expect(&[want(token, READ)]);
        assert_eq!(read_exactly(&a, 1), b"x");
    }
    use_up(&a);
    t.reregister(&mut a, A, BOTH.exclusive());
    t.expect(&[want(A, WRITE)]);
    t.reregister(&mut a, B, BOTH.exclusive());
    t.expect(&[want(B, WRITE)]);
    t.deregister(&mut a);
    assert_kind(t.registry().reregister(&mut a, A, READ.exclusive()), ErrorKind::NotFound);
}
