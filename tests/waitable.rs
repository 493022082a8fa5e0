//! `windows::Waitable`: processes, threads, events, semaphores, timers and a console's input as sources.
#![cfg(all(windows, feature = "os-ext"))]

use std::io::{ErrorKind, Write};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::process::{Child, Command};
use std::ptr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::windows::Waitable;
use wakeful::{Backend, Events, Interest, Poll, Token, Waker};

use windows_sys::Win32::Foundation::{
    DuplicateHandle, GENERIC_READ, GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};
use windows_sys::Win32::System::Console::{
    AllocConsole, FlushConsoleInputBuffer, ReadConsoleInputW, WriteConsoleInputW, INPUT_RECORD, KEY_EVENT,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, CreateMutexW, CreateSemaphoreW, CreateWaitableTimerW, GetCurrentProcess, ReleaseSemaphore,
    ResetEvent, SetEvent, SetWaitableTimer, WaitForSingleObject,
};

mod support;
use support::handles::{handle_count, leaks_no_handle, turn};

const READ: Interest = Interest::READABLE;
const A: Token = Token(usize::MAX);
const B: Token = Token(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for an event that must not come.
const QUIET: Duration = Duration::from_millis(30);

/// An object by its only handle.
struct Object(OwnedHandle);

impl Object {
    fn of(handle: HANDLE) -> Object {
        assert!(!handle.is_null());
        // SAFETY: just created, and not owned elsewhere.
        Object(unsafe { OwnedHandle::from_raw_handle(handle) })
    }

    fn manual_reset() -> Object {
        // SAFETY: no memory is passed.
        Object::of(unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) })
    }

    fn auto_reset() -> Object {
        // SAFETY: no memory is passed.
        Object::of(unsafe { CreateEventW(ptr::null(), 0, 0, ptr::null()) })
    }

    fn semaphore(count: i32) -> Object {
        // SAFETY: no memory is passed.
        Object::of(unsafe { CreateSemaphoreW(ptr::null(), count, i32::MAX, ptr::null()) })
    }

    fn set(&self) {
        // SAFETY: no memory is passed.
        assert_ne!(unsafe { SetEvent(self.0.as_raw_handle()) }, 0);
    }

    fn reset(&self) {
        // SAFETY: no memory is passed.
        assert_ne!(unsafe { ResetEvent(self.0.as_raw_handle()) }, 0);
    }

    fn release(&self, count: i32) {
        // SAFETY: the previous count isn't asked for.
        assert_ne!(unsafe { ReleaseSemaphore(self.0.as_raw_handle(), count, ptr::null_mut()) }, 0);
    }

    /// Another handle, with these rights.
    fn with_rights(&self, rights: u32) -> Object {
        let mut limited = ptr::null_mut();
        // SAFETY: the handle is open, and `limited` outlives the call.
        let duplicated = unsafe {
            let process = GetCurrentProcess();
            DuplicateHandle(process, self.0.as_raw_handle(), process, &mut limited, rights, 0, 0)
        };
        assert_ne!(duplicated, 0);
        Object::of(limited)
    }

    /// Takes the signal if there is one, without a `Poll`.
    fn take(&self) -> bool {
        // SAFETY: no memory is passed.
        match unsafe { WaitForSingleObject(self.0.as_raw_handle(), 0) } {
            WAIT_OBJECT_0 => true,
            WAIT_TIMEOUT => false,
            other => panic!("{other}"),
        }
    }
}

impl AsHandle for Object {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

struct Tester {
    poll: Poll,
    events: Events,
}

impl Tester {
    fn new() -> Tester {
        Tester { poll: Poll::new().unwrap(), events: Events::with_capacity(64) }
    }

    fn register(&self, source: &mut Waitable, token: Token, interest: Interest) {
        self.poll.registry().register(source, token, interest).unwrap();
    }

    fn reregister(&self, source: &mut Waitable, token: Token, interest: Interest) {
        self.poll.registry().reregister(source, token, interest).unwrap();
    }

    fn deregister(&self, source: &mut Waitable) {
        self.poll.registry().deregister(source).unwrap();
    }

    /// The tokens of one `poll`.
    fn poll_for(&mut self, timeout: Duration) -> Vec<Token> {
        self.poll.poll(&mut self.events, Some(timeout)).unwrap();
        for event in &self.events {
            assert!(event.is_readable() && !event.is_writable() && !event.is_error(), "{event:?}");
        }
        self.events.iter().map(|event| event.token()).collect()
    }

    #[track_caller]
    fn expect(&mut self, token: Token) {
        assert_eq!(self.poll_for(PATIENCE), [token]);
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        assert_eq!(self.poll_for(QUIET), []);
    }

    #[track_caller]
    fn expect_nothing_at_once(&mut self) {
        assert_eq!(self.poll_for(Duration::ZERO), []);
    }

    /// In a `poll` that doesn't block.
    #[track_caller]
    fn expect_at_once(&mut self, token: Token) {
        assert_eq!(self.poll_for(Duration::ZERO), [token]);
    }
}

fn waitable(object: &impl AsHandle) -> Waitable {
    Waitable::new(object.as_handle()).unwrap()
}

fn child() -> Child {
    Command::new("cmd").args(["/C", "exit 7"]).spawn().unwrap()
}

/// Each object that can be signalled by `set`.
fn events() -> [Object; 2] {
    [Object::manual_reset(), Object::auto_reset()]
}

#[test]
fn a_process_that_ends_is_reported_once() {
    let _turn = turn();
    let mut t = Tester::new();
    let mut process = child();
    let mut ended = waitable(&process);
    t.register(&mut ended, A, READ);
    t.expect(A);
    assert_eq!(process.try_wait().unwrap().and_then(|status| status.code()), Some(7));
    t.expect_nothing();
    // It is ended for ever, so a new registration reports it again.
    t.reregister(&mut ended, B, READ);
    t.expect_at_once(B);
    t.expect_nothing();
    // And so does a source that is made after the end.
    let mut late = waitable(&process);
    t.register(&mut late, A, READ);
    t.expect_at_once(A);
    t.expect_nothing();
}

#[test]
fn a_thread_that_ends_is_reported_once() {
    let _turn = turn();
    let mut t = Tester::new();
    let (end, is_ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ = is_ended.recv();
    });
    let mut source = waitable(&thread);
    t.register(&mut source, A, READ);
    t.expect_nothing();
    drop(end);
    t.expect(A);
    t.expect_nothing();
    thread.join().unwrap();
}

/// A timer of the system that stays signalled.
#[test]
fn a_timer_that_elapses_is_reported_once() {
    const HUNDRED_NANOSECONDS: i64 = -1;
    let _turn = turn();
    let mut t = Tester::new();
    // SAFETY: no memory is passed.
    let timer = Object::of(unsafe { CreateWaitableTimerW(ptr::null(), 1, ptr::null()) });
    let mut source = waitable(&timer);
    t.register(&mut source, A, READ);
    for token in [A, B] {
        t.expect_nothing();
        let due = 20 * 10_000 * HUNDRED_NANOSECONDS;
        // SAFETY: `due` outlives the call, and no function is called when the timer elapses.
        assert_ne!(unsafe { SetWaitableTimer(timer.0.as_raw_handle(), &due, 0, None, ptr::null(), 0) }, 0);
        // The first has had its event.
        if token == B {
            t.expect_nothing_at_once();
            t.reregister(&mut source, token, READ);
        }
        t.expect(token);
        t.expect_nothing();
    }
}

/// The input of this program's console; `None` where it has none and gets none.
fn console_input() -> Option<Object> {
    let name: Vec<u16> = "CONIN$\0".encode_utf16().collect();
    // SAFETY: the name ends with a zero, and no other memory is passed. A program that has a console gets no second.
    let handle = unsafe {
        AllocConsole();
        let (access, share) = (GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE);
        CreateFileW(name.as_ptr(), access, share, ptr::null(), OPEN_EXISTING, 0, ptr::null_mut())
    };
    (handle != INVALID_HANDLE_VALUE).then(|| Object::of(handle))
}

/// Writes a key to a console's input, as a keyboard does.
fn press(console: &Object) {
    // SAFETY: all zeros is a legal record, which outlives the call; so does the count.
    unsafe {
        let mut record: INPUT_RECORD = std::mem::zeroed();
        record.EventType = KEY_EVENT as u16;
        record.Event.KeyEvent.bKeyDown = 1;
        record.Event.KeyEvent.wRepeatCount = 1;
        record.Event.KeyEvent.uChar.UnicodeChar = u16::from(b'x');
        let mut written = 0;
        assert_ne!(WriteConsoleInputW(console.0.as_raw_handle(), &record, 1, &mut written), 0);
        assert_eq!(written, 1);
    }
}

/// Reads all keys of the console's input.
fn read_keys(console: &Object) -> usize {
    // SAFETY: the records have the size that is passed, and are written before the call returns.
    unsafe {
        let mut records: [INPUT_RECORD; 16] = std::mem::zeroed();
        let mut found = 0;
        assert_ne!(ReadConsoleInputW(console.0.as_raw_handle(), records.as_mut_ptr(), 16, &mut found), 0);
        records[..found as usize].iter().filter(|record| record.EventType == KEY_EVENT as u16).count()
    }
}

/// A console's input is signalled while it has records.
#[test]
fn the_input_of_a_console() {
    let _turn = turn();
    let Some(console) = console_input() else {
        // Past the harness' capture: every log must show the skip.
        let _ = std::io::stderr().write_all(b"skip: waitable: the_input_of_a_console: no console here\n");
        return;
    };
    let mut t = Tester::new();
    let mut source = waitable(&console);
    t.register(&mut source, A, READ);
    // A new console has records of its window.
    while !t.poll_for(10 * QUIET).is_empty() {
        // SAFETY: no memory is passed.
        assert_ne!(unsafe { FlushConsoleInputBuffer(console.0.as_raw_handle()) }, 0);
        t.reregister(&mut source, A, READ);
    }
    for _ in 0..3 {
        t.expect_nothing();
        press(&console);
        t.expect(A);
        press(&console);
        t.expect_nothing();
        assert_eq!(read_keys(&console), 2);
        t.reregister(&mut source, A, READ);
    }
    t.reregister(&mut source, B, READ.level());
    for _ in 0..3 {
        t.expect_nothing();
        press(&console);
        t.expect(B);
        t.expect_at_once(B);
        assert_eq!(read_keys(&console), 1);
    }
}

/// The source has a handle of its own.
#[test]
fn a_handle_may_be_closed_before_the_event() {
    let _turn = turn();
    let mut t = Tester::new();
    let (event, process) = (Object::manual_reset(), child());
    let (mut first, mut second) = (waitable(&event), waitable(&process));
    t.register(&mut first, A, READ);
    let setter = Object(event.0.try_clone().unwrap());
    drop(event);
    // Handles are reused: this one likely has the number of the closed one.
    let other = Object::manual_reset();
    other.set();
    t.expect_nothing();
    setter.set();
    t.expect(A);
    t.register(&mut second, B, READ);
    drop(process);
    t.expect(B);
}

/// An auto-reset event and a semaphore: each signal is consumed by its event.
#[test]
fn each_signal_that_is_consumed_is_an_edge() {
    let _turn = turn();
    for interest in [READ, READ.level()] {
        let mut t = Tester::new();
        let (event, semaphore) = (Object::auto_reset(), Object::semaphore(0));
        let mut source = waitable(&event);
        t.register(&mut source, A, interest);
        t.expect_nothing();
        for _ in 0..20 {
            event.set();
            t.expect(A);
            t.expect_nothing_at_once();
        }
        assert!(!event.take());
        t.expect_nothing();
        let mut source = waitable(&semaphore);
        t.register(&mut source, B, interest);
        // In a `poll` that blocks, too.
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(QUIET);
                semaphore.release(5);
            });
            for _ in 0..5 {
                t.expect(B);
            }
        });
        t.expect_nothing();
        assert!(!semaphore.take());
    }
}

/// A signal isn't taken before `poll` asks for it: a semaphore keeps its count for other waits.
#[test]
fn no_more_is_consumed_than_reported() {
    let _turn = turn();
    let mut t = Tester::new();
    let semaphore = Object::semaphore(3);
    let mut source = waitable(&semaphore);
    t.register(&mut source, A, READ.one_shot());
    t.expect_at_once(A);
    t.expect_nothing();
    assert!(semaphore.take() && semaphore.take() && !semaphore.take());
    // After a deregistration or a drop nothing is consumed at all.
    semaphore.release(1);
    t.reregister(&mut source, A, READ);
    t.expect_at_once(A);
    t.expect_nothing();
    t.deregister(&mut source);
    semaphore.release(1);
    t.expect_nothing();
    assert!(semaphore.take());
    t.register(&mut source, A, READ);
    drop(source);
    semaphore.release(1);
    t.expect_nothing();
    assert!(semaphore.take());
    // Nor when the `Poll` is dropped before the source.
    let mut source = waitable(&semaphore);
    t.register(&mut source, A, READ);
    drop(t);
    semaphore.release(1);
    thread::sleep(QUIET);
    assert!(semaphore.take());
}

#[test]
fn a_signal_that_stays_is_an_edge_after_each_registration() {
    let _turn = turn();
    let mut t = Tester::new();
    let event = Object::manual_reset();
    let mut source = waitable(&event);
    t.register(&mut source, A, READ);
    for _ in 0..20 {
        t.expect_nothing_at_once();
        event.set();
        t.expect(A);
        t.expect_nothing_at_once();
        event.reset();
        t.reregister(&mut source, A, READ);
    }
    event.set();
    t.expect(A);
    t.expect_nothing();
    // Signalled again before `reregister`, which therefore reports it.
    event.reset();
    event.set();
    t.reregister(&mut source, B, READ);
    t.expect_at_once(B);
    t.expect_nothing();
}

#[test]
fn a_level_is_reported_by_each_poll() {
    let _turn = turn();
    let mut t = Tester::new();
    let event = Object::manual_reset();
    let mut source = waitable(&event);
    t.register(&mut source, A, READ.level());
    for _ in 0..10 {
        t.expect_nothing_at_once();
        event.set();
        t.expect(A);
        for _ in 0..3 {
            t.expect_at_once(A);
        }
        event.reset();
    }
    t.expect_nothing();
    // With a busy neighbour and space for one.
    let neighbour = Object::manual_reset();
    neighbour.set();
    event.set();
    let mut other = waitable(&neighbour);
    t.register(&mut other, B, READ.level());
    t.events = Events::with_capacity(1);
    let seen: Vec<_> = (0..20).flat_map(|_| t.poll_for(PATIENCE)).collect();
    assert_eq!(seen.len(), 20);
    for token in [A, B] {
        assert_eq!(seen.iter().filter(|&&seen| seen == token).count(), 10, "{seen:?}");
    }
    // It ends with the mode.
    t.reregister(&mut source, A, READ);
    t.reregister(&mut other, B, READ.one_shot());
    t.events = Events::with_capacity(8);
    let mut last = t.poll_for(PATIENCE);
    last.sort_unstable();
    assert_eq!(last, [B, A]);
    t.expect_nothing();
}

#[test]
fn one_shot_is_silent_until_reregister() {
    let _turn = turn();
    for interest in [READ.one_shot(), READ.edge_one_shot()] {
        for event in events() {
            let mut t = Tester::new();
            let mut source = waitable(&event);
            t.register(&mut source, A, interest);
            for _ in 0..10 {
                t.expect_nothing_at_once();
                event.set();
                t.expect(A);
                event.reset();
                event.set();
                t.expect_nothing_at_once();
                event.reset();
                t.reregister(&mut source, A, interest);
            }
            event.set();
            t.expect(A);
            t.expect_nothing();
            event.set();
            t.reregister(&mut source, B, interest);
            t.expect_at_once(B);
            t.expect_nothing();
        }
    }
}

/// A signal that was consumed is not lost by a change of the registration, however the two meet.
#[test]
fn a_reregistration_loses_no_signal() {
    let _turn = turn();
    for interest in [READ, READ.level(), READ.one_shot()] {
        let mut t = Tester::new();
        let semaphore = Object::semaphore(0);
        let mut source = waitable(&semaphore);
        t.register(&mut source, A, interest);
        const SIGNALS: usize = 300;
        let seen = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..SIGNALS {
                    semaphore.release(1);
                    if number % 10 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
            let registry = t.poll.registry().try_clone().unwrap();
            let (stop, is_stopped) = mpsc::channel::<()>();
            let changer = scope.spawn(move || {
                while is_stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    registry.reregister(&mut source, A, interest).unwrap();
                    thread::yield_now();
                }
                // The source lives until then.
                drop(source);
            });
            let (mut seen, deadline) = (0, Instant::now() + PATIENCE);
            while seen < SIGNALS && Instant::now() < deadline {
                seen += t.poll_for(Duration::from_millis(100)).len();
            }
            seen += t.poll_for(QUIET).len();
            drop(stop);
            changer.join().unwrap();
            seen
        });
        assert_eq!(seen, SIGNALS, "{interest:?}");
    }
}

/// A signal that was found before, and not reported.
#[test]
fn what_was_found_is_not_reported_after_a_deregistration() {
    let _turn = turn();
    let mut t = Tester::new();
    for event in events() {
        for interest in [READ, READ.level(), READ.one_shot()] {
            for is_dropped in [false, true] {
                let mut source = waitable(&event);
                t.register(&mut source, A, interest);
                event.set();
                // By now it is in the queue of the `Poll`.
                thread::sleep(QUIET);
                match is_dropped {
                    true => drop(source),
                    false => t.deregister(&mut source),
                }
                t.expect_nothing_at_once();
                event.reset();
            }
        }
    }
}

/// While another thread polls.
#[test]
fn no_event_follows_a_deregistration() {
    let _turn = turn();
    let mut t = Tester::new();
    let registry = t.poll.registry().try_clone().unwrap();
    let waker = Waker::new(&registry, B).unwrap();
    let (gone, is_gone) = mpsc::channel::<Token>();
    thread::scope(|scope| {
        let poller = scope.spawn(move || {
            let mut ended = std::collections::HashSet::new();
            loop {
                ended.extend(is_gone.try_iter());
                let tokens = t.poll_for(PATIENCE);
                for token in &tokens {
                    assert!(!ended.contains(token), "{token:?} came after its end");
                }
                if tokens.contains(&B) {
                    return;
                }
            }
        });
        for round in 0..300 {
            for event in events() {
                let mut source = waitable(&event);
                let token = Token(10 + round);
                let interest = [READ, READ.level(), READ.one_shot()][round % 3];
                registry.register(&mut source, token, interest).unwrap();
                thread::scope(|scope| {
                    scope.spawn(|| event.set());
                    if round % 2 == 0 {
                        registry.deregister(&mut source).unwrap();
                    } else {
                        drop(source);
                    }
                });
            }
            gone.send(Token(10 + round)).unwrap();
        }
        waker.wake().unwrap();
        poller.join().unwrap();
    });
}

#[test]
fn wrong_uses_are_refused() {
    let _turn = turn();
    let (t, other) = (Tester::new(), Tester::new());
    let event = Object::auto_reset();
    let mut source = waitable(&event);
    let (registry, others) = (t.poll.registry(), other.poll.registry());
    assert_eq!(registry.deregister(&mut source).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(registry.reregister(&mut source, A, READ).unwrap_err().kind(), ErrorKind::NotFound);
    let unfit = [Interest::END, READ | Interest::END, READ.one_shot().exclusive()];
    for interest in unfit {
        let refused = registry.register(&mut source, A, interest);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported, "{interest:?}");
    }
    registry.register(&mut source, A, READ).unwrap();
    for registry in [registry, others] {
        assert_eq!(registry.register(&mut source, A, READ).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    assert_eq!(others.reregister(&mut source, A, READ).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(others.deregister(&mut source).unwrap_err().kind(), ErrorKind::NotFound);
    for interest in unfit {
        let refused = registry.reregister(&mut source, A, interest);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported, "{interest:?}");
    }
    registry.deregister(&mut source).unwrap();
    others.register(&mut source, A, READ).unwrap();
    // SAFETY: no memory is passed.
    let mutex = Object::of(unsafe { CreateMutexW(ptr::null(), 0, ptr::null()) });
    assert_eq!(Waitable::new(&mutex.0).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn an_event_has_the_directions_of_the_interest() {
    let _turn = turn();
    let mut t = Tester::new();
    let event = Object::manual_reset();
    event.set();
    let mut source = waitable(&event);
    t.register(&mut source, A, READ);
    for (interest, readable, writable) in
        [(READ, true, false), (Interest::WRITABLE, false, true), (READ | Interest::WRITABLE, true, true)]
    {
        t.reregister(&mut source, B, interest);
        t.poll.poll(&mut t.events, Some(Duration::ZERO)).unwrap();
        let found = t.events.iter().map(|event| (event.token(), event.is_readable(), event.is_writable()));
        assert_eq!(found.collect::<Vec<_>>(), [(B, readable, writable)]);
    }
    // Also if the signal was found for another interest, and not reported.
    t.reregister(&mut source, A, READ);
    t.reregister(&mut source, B, Interest::WRITABLE);
    t.poll.poll(&mut t.events, Some(Duration::ZERO)).unwrap();
    let found = t.events.iter().map(|event| (event.token(), event.is_readable(), event.is_writable()));
    assert_eq!(found.collect::<Vec<_>>(), [(B, false, true)]);
}

/// A handle without the right to be waited for is refused, and another registration isn't harmed.
#[test]
fn a_handle_that_cannot_be_waited_for_is_refused() {
    const EVENT_MODIFY_STATE: u32 = 2;
    let _turn = turn();
    let mut t = Tester::new();
    let event = Object::manual_reset();
    let limited = event.with_rights(EVENT_MODIFY_STATE);
    let mut source = waitable(&limited);
    for _ in 0..2 {
        let refused = t.poll.registry().register(&mut source, A, READ);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    let refused = t.poll.registry().deregister(&mut source);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    let mut good = waitable(&event);
    t.register(&mut good, B, READ);
    limited.set();
    t.expect(B);
    t.expect_nothing();
}

/// Nor is a signal lost if the kernel doesn't tell that the wait consumes it.
#[test]
fn an_event_of_unknown_type_is_reported_once_after_each_registration() {
    const SYNCHRONIZE: u32 = 0x0010_0000;
    let _turn = turn();
    let mut t = Tester::new();
    let event = Object::auto_reset();
    let mut source = waitable(&event.with_rights(SYNCHRONIZE));
    t.register(&mut source, A, READ);
    for _ in 0..5 {
        event.set();
        t.expect(A);
        event.set();
        t.expect_nothing();
        t.reregister(&mut source, A, READ);
        t.expect_at_once(A);
        // Found between two registrations, and not reported.
        t.reregister(&mut source, B, READ);
        event.set();
        thread::sleep(QUIET);
        t.reregister(&mut source, A, READ);
        t.expect_at_once(A);
        t.reregister(&mut source, A, READ);
    }
}

#[test]
fn a_source_outlives_its_poll_and_registers_again() {
    let _turn = turn();
    for event in events() {
        let mut source = waitable(&event);
        for interest in [READ, READ.level(), READ.one_shot()] {
            for is_signalled in [false, true] {
                let mut t = Tester::new();
                t.register(&mut source, A, interest);
                event.set();
                if is_signalled {
                    t.expect(A);
                }
                event.reset();
            }
        }
    }
}

/// In each order of the drops, before and after the signal.
#[test]
fn nothing_leaks() {
    let _turn = turn();
    leaks_no_handle(30, || {
        for event in events() {
            for interest in [READ, READ.level(), READ.one_shot()] {
                for order in 0..4 {
                    let mut t = Tester::new();
                    let mut source = waitable(&event);
                    t.register(&mut source, A, interest);
                    if order % 2 == 0 {
                        event.set();
                        t.expect(A);
                        t.reregister(&mut source, A, interest);
                    }
                    if order < 2 {
                        drop(source);
                        drop(t);
                    } else {
                        drop(t);
                        drop(source);
                    }
                    event.reset();
                }
            }
        }
    });
}

/// Far more than one thread can wait for: 64.
#[test]
fn a_thousand_objects_at_once() {
    const COUNT: usize = 1000;
    let _turn = turn();
    let round = || {
        let mut t = Tester::new();
        let gate = Object::manual_reset();
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let gate = Object(gate.0.try_clone().unwrap());
                thread::Builder::new().stack_size(1 << 16).spawn(move || {
                    // SAFETY: no memory is passed.
                    unsafe { WaitForSingleObject(gate.0.as_raw_handle(), u32::MAX) };
                })
            })
            .map(Result::unwrap)
            .collect();
        let objects: Vec<_> = (0..COUNT - threads.len()).map(|_| Object::auto_reset()).collect();
        let mut sources: Vec<_> = threads.iter().map(waitable).chain(objects.iter().map(waitable)).collect();
        for (number, source) in sources.iter_mut().enumerate() {
            t.register(source, Token(number), READ);
        }
        t.expect_nothing_at_once();
        gate.set();
        objects.iter().for_each(Object::set);
        let mut seen = vec![0; COUNT];
        let deadline = Instant::now() + PATIENCE;
        while seen.contains(&0) && Instant::now() < deadline {
            t.poll_for(PATIENCE).iter().for_each(|token| seen[token.0] += 1);
        }
        assert_eq!(seen, [1; COUNT]);
        t.expect_nothing();
        // And again, where the signals were consumed.
        objects.iter().for_each(Object::set);
        let mut again = 0;
        while again < objects.len() && Instant::now() < deadline {
            again += t.poll_for(PATIENCE).len();
        }
        t.expect_nothing();
        assert_eq!(again, objects.len());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    };
    round();
    let before = handle_count();
    round();
    // The pool ends its threads in its own time.
    let deadline = Instant::now() + PATIENCE;
    while handle_count() > before && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(handle_count() <= before, "{} handles, {before} before", handle_count());
}

#[test]
fn fifty_children_end_and_none_is_missed() {
    const CHILDREN: usize = 50;
    let _turn = turn();
    let mut t = Tester::new();
    let mut children: Vec<_> = (0..CHILDREN).map(|_| child()).collect();
    let mut sources: Vec<_> = children.iter().map(waitable).collect();
    for (number, source) in sources.iter_mut().enumerate() {
        t.register(source, Token(number), READ);
    }
    let mut seen = [0; CHILDREN];
    let deadline = Instant::now() + PATIENCE;
    while seen.contains(&0) && Instant::now() < deadline {
        t.poll_for(PATIENCE).iter().for_each(|token| seen[token.0] += 1);
    }
    assert_eq!(seen, [1; CHILDREN]);
    for child in &mut children {
        assert_eq!(child.try_wait().unwrap().and_then(|status| status.code()), Some(7));
    }
}

/// The guide's five sources without the signal: a child's output and end, a keyboard, a timer and a UDP socket.
#[cfg(feature = "net")]
#[test]
fn a_loop_with_a_source_of_each_kind() {
    use std::io::Read;
    use std::process::Stdio;
    use wakeful::{event::Source, net::UdpSocket, process::ChildExit, windows::NamedPipe, Timer};

    let _turn = turn();
    let mut child = Command::new("cmd").args(["/C", "echo done"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = NamedPipe::from(OwnedHandle::from(child.stdout.take().unwrap()));
    let (mut exit, mut timer) = (ChildExit::new(&child).unwrap(), Timer::new());
    timer.set_every(Instant::now(), Duration::from_millis(20)).unwrap();
    let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();

    let mut poll = Poll::new().unwrap();
    let sources: [&mut dyn Source; 4] = [&mut output, &mut exit, &mut timer, &mut socket];
    for (number, source) in sources.into_iter().enumerate() {
        poll.registry().register(source, Token(number), READ).unwrap();
    }
    // Its test says whether there is one.
    let console = console_input();
    let mut keys = console.as_ref().map(|console| Waitable::new(console).unwrap());
    if let (Some(keys), Some(console)) = (&mut keys, &console) {
        poll.registry().register(keys, Token(4), READ.level()).unwrap();
        press(console);
    }

    let (mut events, mut bytes) = (Events::with_capacity(8), [0; 64]);
    let (mut ends, mut ticks, mut shown) = (0, 0, Vec::new());
    let (mut received, mut pressed) = (0, usize::from(console.is_none()));
    let deadline = Instant::now() + PATIENCE;
    while ends == 0 || ticks < 3 || received == 0 || pressed == 0 || shown != b"done\r\n" {
        poll.poll_until(&mut events, deadline).unwrap();
        assert!(
            Instant::now() < deadline,
            "{ends} ends, {ticks} ticks, {received}, {pressed} keys, {shown:?}"
        );
        for event in &events {
            match (event.token().0, &console) {
                (0, _) => drop(output.read_to_end(&mut shown)),
                (1, _) => ends += usize::from(child.wait().unwrap().success()),
                (2, _) => ticks += 1,
                (3, _) => received += socket.recv(&mut bytes).unwrap_or(0),
                (_, Some(console)) => pressed += read_keys(console),
                _ => unreachable!(),
            }
        }
    }
    // A terminal may have keys of its own.
    assert_eq!((ends, received), (1, 5));
    assert!(child.wait().unwrap().success());
}

/// Events may be late and spurious then, but none is lost, and one-shot holds.
#[test]
fn with_chaos_each_signal_is_reported() {
    let _turn = turn();
    for seed in 0..20 {
        for event in events() {
            for interest in [READ, READ.level(), READ.one_shot()] {
                let poll = Poll::with_chaos(Backend::Iocp, seed).unwrap();
                let mut t = Tester { poll, events: Events::with_capacity(2) };
                let mut source = waitable(&event);
                t.register(&mut source, A, interest);
                for round in 0..10 {
                    event.set();
                    let deadline = Instant::now() + PATIENCE;
                    while t.poll_for(PATIENCE).is_empty() {
                        assert!(Instant::now() < deadline, "seed {seed}, {interest:?}, round {round}");
                    }
                    if interest.is_one_shot() {
                        t.expect_nothing_at_once();
                    }
                    event.reset();
                    t.reregister(&mut source, A, interest);
                }
                t.deregister(&mut source);
                t.expect_nothing_at_once();
            }
        }
    }
}
