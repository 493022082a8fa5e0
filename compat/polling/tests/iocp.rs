//! Windows: posted events, and objects that are signalled.
#![cfg(windows)]

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::process::Command;
use std::ptr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use polling::os::iocp::{AsRawWaitable, AsWaitable, CompletionPacket, PollerIocpExt};
use polling::{Event, Events, PollMode, Poller};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{
    CreateEventW, CreateMutexW, CreateSemaphoreW, ReleaseSemaphore, ResetEvent, SetEvent,
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

struct Object(OwnedHandle);

impl Object {
    fn of(handle: HANDLE) -> Object {
        assert!(!handle.is_null());
        // SAFETY: just created, and not owned elsewhere.
        Object(unsafe { OwnedHandle::from_raw_handle(handle) })
    }

    fn event(is_reset_by_hand: bool) -> Object {
        // SAFETY: no memory is passed.
        Object::of(unsafe { CreateEventW(ptr::null(), i32::from(is_reset_by_hand), 0, ptr::null()) })
    }

    fn set(&self) {
        // SAFETY: no memory is passed.
        assert_ne!(unsafe { SetEvent(self.0.as_raw_handle()) }, 0);
    }

    fn reset(&self) {
        // SAFETY: no memory is passed.
        assert_ne!(unsafe { ResetEvent(self.0.as_raw_handle()) }, 0);
    }
}

impl AsHandle for Object {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

impl AsRawHandle for Object {
    fn as_raw_handle(&self) -> RawHandle {
        self.0.as_raw_handle()
    }
}

struct Tester {
    poller: Poller,
    events: Events,
}

impl Tester {
    fn new() -> Tester {
        Tester { poller: Poller::new().unwrap(), events: Events::new() }
    }

    #[track_caller]
    fn add(&self, handle: impl AsRawWaitable, interest: Event, mode: PollMode) {
        // SAFETY: each test keeps the handle open until it is removed, or the poller dropped.
        unsafe { self.poller.add_waitable(handle, interest, mode) }.unwrap();
    }

    fn wait(&mut self, timeout: Duration) -> Vec<Event> {
        self.events.clear();
        let count = self.poller.wait(&mut self.events, Some(timeout)).unwrap();
        assert_eq!(count, self.events.len());
        self.events.iter().collect()
    }

    #[track_caller]
    fn expect(&mut self, event: Event) {
        assert_eq!(self.wait(LONG), [event]);
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        let start = Instant::now();
        assert_eq!(self.wait(SHORT), []);
        assert!(start.elapsed() >= SHORT);
    }
}

#[test]
fn each_post_is_one_event_as_it_is() {
    let mut t = Tester::new();
    let mut special = Event::none(5).with_interrupt();
    special.set_priority(true);
    let posted = [Event::readable(3), Event::readable(3), Event::writable(0), Event::all(4), special];
    for event in posted {
        let packet = CompletionPacket::new(event);
        assert_eq!(*packet.event(), event);
        t.poller.post(packet.clone()).unwrap();
    }
    assert_eq!(t.wait(LONG), posted);
    t.expect_nothing();
    let refused = t.poller.post(CompletionPacket::new(Event::readable(usize::MAX)));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    t.expect_nothing();
}

/// From other threads, while the poller waits without a timeout. A `wait` that was woken by a post returns it.
#[test]
fn posts_end_a_wait_and_none_is_lost() {
    const THREADS: usize = 4;
    const POSTS: usize = 500;
    let poller = Arc::new(Poller::new().unwrap());
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let poller = Arc::clone(&poller);
            thread::spawn(move || {
                for number in 0..POSTS {
                    let event = Event::readable(thread * POSTS + number);
                    poller.post(CompletionPacket::new(event)).unwrap();
                    if number % 50 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        })
        .collect();
    let mut seen = vec![0; THREADS * POSTS];
    let mut events = Events::with_capacity(NonZeroUsize::new(7).unwrap());
    let mut left = seen.len();
    while left > 0 {
        events.clear();
        let count = poller.wait(&mut events, None).unwrap();
        assert!((1..=7).contains(&count), "{count}");
        events.iter().for_each(|event| seen[event.key] += 1);
        left -= count;
    }
    assert_eq!(seen, vec![1; THREADS * POSTS]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// With space for one event, too. Neither waits for the other's end.
#[test]
fn posts_and_sources_share_the_space() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    peer.write_all(b"x").unwrap();
    let mut t = Tester::new();
    t.events = Events::with_capacity(NonZeroUsize::MIN);
    // SAFETY: deleted below.
    unsafe { t.poller.add_with_mode(&socket, Event::readable(1), PollMode::Level).unwrap() };
    t.expect(Event::readable(1));
    for _ in 0..10 {
        t.poller.post(CompletionPacket::new(Event::writable(2))).unwrap();
    }
    let seen: Vec<_> = (0..20).flat_map(|_| t.wait(LONG)).collect();
    assert_eq!(seen.len(), 20);
    let early = |event| seen[..8].iter().filter(|seen| **seen == event).count();
    assert!(early(Event::readable(1)) >= 3 && early(Event::writable(2)) >= 3, "{seen:?}");
    assert_eq!(seen.iter().filter(|event| **event == Event::writable(2)).count(), 10, "{seen:?}");
    t.poller.delete(&socket).unwrap();
    t.expect_nothing();
}

#[test]
fn a_notification_ends_a_wait_beside_posts() {
    let mut t = Tester::new();
    t.poller.post(CompletionPacket::new(Event::readable(1))).unwrap();
    t.expect(Event::readable(1));
    t.poller.notify().unwrap();
    let start = Instant::now();
    assert_eq!(t.wait(LONG), []);
    assert!(start.elapsed() < LONG);
    t.expect_nothing();
    t.poller.notify().unwrap();
    t.poller.post(CompletionPacket::new(Event::readable(1))).unwrap();
    t.expect(Event::readable(1));
    t.expect_nothing();
}

#[test]
fn an_object_is_ready_in_the_directions_of_its_interest() {
    for is_reset_by_hand in [true, false] {
        let object = Object::event(is_reset_by_hand);
        let mut t = Tester::new();
        t.add(&object, Event::all(0), PollMode::Oneshot);
        t.expect_nothing();
        for event in [Event::all(0), Event::readable(1), Event::writable(2), Event::all(usize::MAX - 1)] {
            t.poller.modify_waitable(&object, event, PollMode::Oneshot).unwrap();
            object.set();
            t.expect(event);
            t.expect_nothing();
            object.reset();
        }
        // No direction, no event; and later the signal is still there.
        t.poller.modify_waitable(&object, Event::none(1), PollMode::Oneshot).unwrap();
        object.set();
        t.expect_nothing();
        t.poller.modify_waitable(&object, Event::readable(3).with_priority(), PollMode::Oneshot).unwrap();
        t.expect(Event::readable(3));
        t.poller.remove_waitable(&object).unwrap();
        object.set();
        t.expect_nothing();
    }
}

#[test]
fn objects_have_every_mode() {
    let object = Object::event(true);
    let mut t = Tester::new();
    t.add(object.as_raw_handle(), Event::readable(1), PollMode::Level);
    for _ in 0..3 {
        t.expect_nothing();
        object.set();
        t.expect(Event::readable(1));
        t.expect(Event::readable(1));
        object.reset();
    }
    for mode in [PollMode::Edge, PollMode::EdgeOneshot, PollMode::Oneshot] {
        t.poller.modify_waitable(&object, Event::readable(2), mode).unwrap();
        t.expect_nothing();
        object.set();
        t.expect(Event::readable(2));
        t.expect_nothing();
        object.reset();
    }
    // A semaphore has an edge for each release.
    // SAFETY: no memory is passed.
    let semaphore = Object::of(unsafe { CreateSemaphoreW(ptr::null(), 0, 10, ptr::null()) });
    t.add(&semaphore, Event::readable(3), PollMode::Edge);
    // SAFETY: the previous count isn't asked for.
    assert_ne!(unsafe { ReleaseSemaphore(semaphore.as_raw_handle(), 4, ptr::null_mut()) }, 0);
    for _ in 0..4 {
        t.expect(Event::readable(3));
    }
    t.expect_nothing();
}

#[test]
fn a_process_and_a_thread_end() {
    let mut t = Tester::new();
    let mut child = Command::new("cmd").args(["/C", "exit 3"]).spawn().unwrap();
    // As async-io does: added without an interest.
    t.add(&child, Event::none(1), PollMode::Oneshot);
    t.poller.modify_waitable(&child, Event::readable(1), PollMode::Oneshot).unwrap();
    t.expect(Event::readable(1));
    assert_eq!(child.try_wait().unwrap().and_then(|status| status.code()), Some(3));
    t.poller.remove_waitable(&child).unwrap();
    let thread = thread::spawn(|| thread::sleep(SHORT));
    t.add(&thread, Event::readable(2), PollMode::Edge);
    t.expect(Event::readable(2));
    t.expect_nothing();
}

#[test]
fn wrong_uses_are_refused() {
    let t = Tester::new();
    let (object, mode) = (Object::event(true), PollMode::Oneshot);
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    let add = |handle: &Object, event| {
        // SAFETY: the handle is open until the poller is dropped.
        unsafe { t.poller.add_waitable(handle, event, mode) }
    };
    assert_eq!(kind(t.poller.modify_waitable(&object, Event::readable(1), mode)), ErrorKind::NotFound);
    assert_eq!(kind(t.poller.remove_waitable(&object)), ErrorKind::NotFound);
    assert_eq!(kind(add(&object, Event::readable(usize::MAX))), ErrorKind::InvalidInput);
    add(&object, Event::readable(1)).unwrap();
    assert_eq!(kind(add(&object, Event::readable(1))), ErrorKind::AlreadyExists);
    let refused = t.poller.modify_waitable(&object, Event::readable(usize::MAX), mode);
    assert_eq!(kind(refused), ErrorKind::InvalidInput);
    t.poller.remove_waitable(&object).unwrap();
    assert_eq!(kind(t.poller.remove_waitable(&object)), ErrorKind::NotFound);
    add(&object, Event::readable(1)).unwrap();
    // SAFETY: no memory is passed.
    let mutex = Object::of(unsafe { CreateMutexW(ptr::null(), 0, ptr::null()) });
    assert_eq!(kind(add(&mutex, Event::readable(1))), ErrorKind::Unsupported);
}

#[test]
fn a_poller_has_a_handle() {
    let (a, b) = (Poller::new().unwrap(), Poller::new().unwrap());
    assert!(!a.as_raw_handle().is_null());
    assert_ne!(a.as_raw_handle(), b.as_raw_handle());
    assert_eq!(a.as_handle().as_raw_handle(), a.as_raw_handle());
    fn is_waitable<T: AsWaitable>() {}
    is_waitable::<Object>();
    assert_eq!(a.as_waitable().as_raw_handle(), a.as_raw_handle());
}
