//! What polling's documentation promises, on the backend that the environment chooses, with chaos or without.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use polling::{AsRawSource, AsSource, Event, Events, PollMode, Poller};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

#[cfg(unix)]
use std::os::unix::net::UnixStream as Stream;

/// Two connected streams.
#[cfg(unix)]
fn pair() -> (Stream, Stream) {
    let (a, b) = Stream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

#[cfg(not(unix))]
use TcpStream as Stream;

/// Two connected streams.
#[cfg(not(unix))]
fn pair() -> (Stream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (b, _) = listener.accept().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

/// Adds a source that the test keeps open.
fn add(poller: &Poller, source: &Stream, interest: Event, mode: PollMode) -> io::Result<()> {
    // SAFETY: each test deletes what it adds, or keeps it open until the poller is dropped.
    unsafe { poller.add_with_mode(source, interest, mode) }
}

/// Waits until there is an event, which may be late with chaos.
fn next(poller: &Poller, events: &mut Events) -> Event {
    let end = Instant::now() + LONG;
    loop {
        events.clear();
        if poller.wait(events, Some(LONG)).unwrap() > 0 {
            return events.iter().next().unwrap();
        }
        assert!(Instant::now() < end, "no event");
    }
}

fn is_silent(poller: &Poller, events: &mut Events) -> bool {
    events.clear();
    poller.wait(events, Some(SHORT)).unwrap() == 0
}

#[test]
fn one_shot_reports_once_until_modify() {
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    let (a, mut b) = pair();
    // SAFETY: deleted below.
    unsafe { poller.add(&a, Event::readable(7)).unwrap() };
    assert!(is_silent(&poller, &mut events));
    b.write_all(b"x").unwrap();
    assert_eq!(next(&poller, &mut events).with_no_extra(), Event::readable(7));
    assert!(is_silent(&poller, &mut events));
    poller.modify(&a, Event::all(8)).unwrap();
    let event = next(&poller, &mut events);
    assert!(event.key == 8 && (event.readable || event.writable));
    assert!(is_silent(&poller, &mut events));
    poller.modify(&a, Event::none(8)).unwrap();
    assert!(is_silent(&poller, &mut events));
    poller.delete(&a).unwrap();
}

#[test]
fn level_reports_until_it_is_read() {
    let poller = Poller::new().unwrap();
    assert!(poller.supports_level());
    let mut events = Events::new();
    let (mut a, mut b) = pair();
    add(&poller, &a, Event::readable(1), PollMode::Level).unwrap();
    b.write_all(b"xyz").unwrap();
    for _ in 0..3 {
        assert_eq!(next(&poller, &mut events).with_no_extra(), Event::readable(1));
    }
    assert_eq!(a.read(&mut [0; 8]).unwrap(), 3);
    assert!(is_silent(&poller, &mut events));
    poller.delete(&a).unwrap();
}

#[test]
fn edges_are_reported_once_each() {
    let poller = Poller::new().unwrap();
    assert!(poller.supports_edge());
    let mut events = Events::new();
    let (mut a, mut b) = pair();
    for mode in [PollMode::Edge, PollMode::EdgeOneshot] {
        add(&poller, &a, Event::readable(1), mode).unwrap();
        for _ in 0..2 {
            b.write_all(b"x").unwrap();
            assert_eq!(next(&poller, &mut events).with_no_extra(), Event::readable(1));
            assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
            if mode == PollMode::EdgeOneshot {
                assert!(is_silent(&poller, &mut events));
                poller.modify_with_mode(&a, Event::readable(1), mode).unwrap();
            }
        }
        poller.delete(&a).unwrap();
    }
}

#[test]
fn an_end_is_reported_without_an_interest() {
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    let (mut a, mut b) = pair();
    add(&poller, &a, Event::none(3), PollMode::Oneshot).unwrap();
    b.write_all(b"x").unwrap();
    assert!(is_silent(&poller, &mut events));
    drop(b);
    if cfg!(windows) {
        // Wine sees no end behind data.
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
    }
    let event = next(&poller, &mut events);
    assert_eq!(event.key, 3);
    assert!(event.readable || event.writable);
    assert!(is_silent(&poller, &mut events));
    poller.delete(&a).unwrap();
}

#[test]
fn errors_have_their_kinds() {
    let poller = Poller::new().unwrap();
    let (a, _b) = pair();
    let kind = |result: io::Result<()>| result.map_err(|e| e.kind());
    assert_eq!(kind(poller.modify(&a, Event::readable(1))), Err(ErrorKind::NotFound));
    assert_eq!(kind(poller.delete(&a)), Err(ErrorKind::NotFound));
    let unnamed = Event::readable(usize::MAX);
    assert_eq!(kind(add(&poller, &a, unnamed, PollMode::Oneshot)), Err(ErrorKind::InvalidInput));
    add(&poller, &a, Event::readable(1), PollMode::Oneshot).unwrap();
    assert_eq!(kind(add(&poller, &a, Event::all(2), PollMode::Level)), Err(ErrorKind::AlreadyExists));
    assert_eq!(kind(poller.modify(&a, unnamed)), Err(ErrorKind::InvalidInput));
    poller.delete(&a).unwrap();
    assert_eq!(kind(poller.delete(&a)), Err(ErrorKind::NotFound));
}

#[test]
fn one_source_is_watched_by_several_pollers() {
    let (first, second) = (Poller::new().unwrap(), Poller::new().unwrap());
    let mut events = Events::new();
    let (a, mut b) = pair();
    add(&first, &a, Event::readable(1), PollMode::Oneshot).unwrap();
    add(&second, &a, Event::readable(2), PollMode::Oneshot).unwrap();
    b.write_all(b"x").unwrap();
    assert_eq!(next(&first, &mut events).key, 1);
    assert_eq!(next(&second, &mut events).key, 2);
    first.delete(&a).unwrap();
    second.delete(&a).unwrap();
}

#[test]
fn a_notification_ends_one_wait_and_is_no_event() {
    let poller = Arc::new(Poller::new().unwrap());
    let mut events = Events::new();
    poller.notify().unwrap();
    poller.notify().unwrap();
    assert_eq!(poller.wait(&mut events, None).unwrap(), 0);
    let start = Instant::now();
    assert_eq!(poller.wait(&mut events, Some(SHORT)).unwrap(), 0);
    assert!(start.elapsed() >= SHORT);

    let notifier = Arc::clone(&poller);
    let thread = thread::spawn(move || {
        thread::sleep(SHORT);
        notifier.notify().unwrap();
    });
    assert_eq!(poller.wait(&mut events, None).unwrap(), 0);
    thread.join().unwrap();
}

#[test]
fn a_second_thread_does_not_wait() {
    let poller = Arc::new(Poller::new().unwrap());
    let waits = Arc::new(AtomicBool::new(true));
    let thread = thread::spawn({
        let (poller, waits) = (Arc::clone(&poller), Arc::clone(&waits));
        move || {
            let mut events = Events::new();
            while waits.load(Ordering::SeqCst) {
                poller.wait(&mut events, None).unwrap();
            }
        }
    });
    // Until the other thread waits, this one does, and is soon over.
    let mut events = Events::new();
    let end = Instant::now() + LONG;
    loop {
        let start = Instant::now();
        assert_eq!(poller.wait(&mut events, Some(SHORT)).unwrap(), 0);
        if start.elapsed() < SHORT {
            break;
        }
        assert!(Instant::now() < end, "the other thread never waited");
        // Otherwise the lock would be free for some nanoseconds alone.
        thread::sleep(SHORT);
    }
    waits.store(false, Ordering::SeqCst);
    poller.notify().unwrap();
    thread.join().unwrap();
}

#[test]
fn events_are_appended_and_no_wait_appends_more_than_the_capacity() {
    let poller = Poller::new().unwrap();
    let mut events = Events::with_capacity(NonZeroUsize::MIN);
    assert_eq!(events.capacity().get(), 1);
    let (a, b) = pair();
    add(&poller, &a, Event::writable(1), PollMode::Level).unwrap();
    add(&poller, &b, Event::writable(2), PollMode::Level).unwrap();
    let mut keys = [0; 3];
    for count in 1..=40 {
        let before = events.len();
        assert!(poller.wait(&mut events, Some(LONG)).unwrap() <= before + 1);
        keys = [0, 1, 2].map(|key| events.iter().filter(|event| event.key == key).count());
        assert_eq!(keys.iter().sum::<usize>(), events.len());
        if keys[1] >= 2 && keys[2] >= 2 {
            break;
        }
        assert!(count < 40, "one of the two starves: {keys:?}");
    }
    assert_eq!(keys[0], 0);
    events.clear();
    assert!(events.is_empty());
    poller.delete(&a).unwrap();
    poller.delete(&b).unwrap();
}

#[test]
fn timeouts_and_deadlines_are_kept() {
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    let start = Instant::now();
    poller.wait(&mut events, Some(Duration::from_micros(700))).unwrap();
    assert!(start.elapsed() >= Duration::from_micros(700));
    let deadline = Instant::now() + SHORT;
    poller.wait_deadline(&mut events, deadline).unwrap();
    assert!(Instant::now() >= deadline);
    // Both have passed.
    poller.wait_deadline(&mut events, start).unwrap();
    poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    // Longer than any clock.
    poller.notify().unwrap();
    poller.wait(&mut events, Some(Duration::MAX)).unwrap();
    assert!(events.is_empty());
}

#[test]
fn a_reset_is_an_error_and_an_interruption() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    stream.set_nonblocking(true).unwrap();
    // SAFETY: deleted below.
    unsafe { poller.add(&stream, Event::none(1)).unwrap() };
    drop(accepted);
    // The write is answered by a reset: both halves have failed.
    let _ = (&stream).write(b"x");
    let end = Instant::now() + LONG;
    loop {
        let event = next(&poller, &mut events);
        // Windows doesn't call a reset an error.
        if event.is_interrupt() && (cfg!(windows) || event.is_err() == Some(true)) {
            break;
        }
        assert!(Instant::now() < end, "{event:?}");
        poller.modify(&stream, Event::none(1)).unwrap();
    }
    poller.delete(&stream).unwrap();
}

#[test]
fn sources_are_descriptors_and_what_has_one() {
    fn raw(source: impl AsRawSource) -> bool {
        source.raw() == source.raw()
    }
    fn borrowed(source: impl AsSource) -> bool {
        raw(&source.source())
    }
    let (a, _b) = pair();
    assert!(raw(&a) && raw((&a).raw()) && borrowed(&a));
}

#[test]
fn the_types_have_their_traits() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send + Default>() {}
    is_shared::<Poller>();
    is_shared::<Event>();
    is_sent::<Events>();
    assert!(PollMode::Oneshot < PollMode::EdgeOneshot);
    assert_eq!(format!("{:?}", Events::default()), "[]");
}

#[cfg(unix)]
#[test]
fn a_signal_does_not_end_a_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: `SIGUSR1` gets a handler that does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    // SAFETY: the thread that is signalled is this one, which waits for the other.
    let waiting = unsafe { libc::pthread_self() } as usize;
    let thread = thread::spawn(move || {
        for _ in 0..10 {
            thread::sleep(SHORT / 10);
            // SAFETY: as above.
            unsafe { libc::pthread_kill(waiting as libc::pthread_t, libc::SIGUSR1) };
        }
    });
    let poller = Poller::new().unwrap();
    let start = Instant::now();
    assert_eq!(poller.wait(&mut Events::new(), Some(SHORT * 2)).unwrap(), 0);
    assert!(start.elapsed() >= SHORT * 2);
    thread.join().unwrap();
}

#[cfg(unix)]
#[test]
fn a_poller_is_nested_in_another() {
    let (outer, inner) = (Poller::new().unwrap(), Poller::new().unwrap());
    let mut events = Events::new();
    // SAFETY: `outer` is dropped first.
    unsafe { outer.add(&inner, Event::readable(9)).unwrap() };
    assert!(is_silent(&outer, &mut events));
    inner.notify().unwrap();
    assert_eq!(next(&outer, &mut events).key, 9);
    drop(outer);
}
