//! The calls of kqueue(2).
//!
//! # Safety
//!
//! The kernel writes only into buffers of this module, at most as many entries as stated, and what it hasn't written is
//! never read. Pointers in `udata` are numbers, which are never dereferenced.
#![allow(unsafe_code)]
// The types of a kevent's fields differ by system.
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;
use std::time::Duration;

use crate::backend::logic::kernel_filters::{timer_value, FilterRecord};
use crate::backend::logic::knotes::{
    Action, Change, Filter, KnoteMode, Queue, Receipt, EV_EOF, EV_ERROR, MOST_CHANGES,
};
use crate::os::{check, FileIdentity, FilterId, KernelFilter, FILTER_EXCEPT, FILTER_LIO, TIMER_NANOSECONDS};

#[cfg(not(wakeful_libkqueue))]
use libc as kernel;

/// libkqueue: kqueue(2) as a library, to run this backend where no kernel has it. Its `sys/event.h` in Rust.
#[cfg(wakeful_libkqueue)]
#[allow(non_camel_case_types)]
mod kernel {
    use libc::{c_int, c_short, c_uint, c_ushort, c_void, timespec};

    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct kevent {
        pub ident: usize,
        pub filter: c_short,
        pub flags: c_ushort,
        pub fflags: c_uint,
        pub data: isize,
        pub udata: *mut c_void,
    }

    pub const EVFILT_READ: c_short = -1;
    pub const EVFILT_WRITE: c_short = -2;
    pub const EVFILT_AIO: c_short = -3;
    pub const EVFILT_PROC: c_short = -5;
    pub const EVFILT_SIGNAL: c_short = -6;
    pub const EVFILT_TIMER: c_short = -7;
    pub const EVFILT_USER: c_short = -11;
    pub const EV_ADD: c_ushort = 0x1;
    pub const EV_DELETE: c_ushort = 0x2;
    pub const EV_ENABLE: c_ushort = 0x4;
    pub const EV_DISABLE: c_ushort = 0x8;
    pub const EV_ONESHOT: c_ushort = 0x10;
    pub const EV_CLEAR: c_ushort = 0x20;
    pub const EV_RECEIPT: c_ushort = 0x40;
    pub const EV_DISPATCH: c_ushort = 0x80;
    pub const EV_ERROR: c_ushort = 0x4000;
    pub const EV_EOF: c_ushort = 0x8000;
    pub const NOTE_TRIGGER: c_uint = 0x0100_0000;
    pub const NOTE_EXIT: c_uint = 0x8000_0000;
    pub const NOTE_FORK: c_uint = 0x4000_0000;
    pub const NOTE_EXEC: c_uint = 0x2000_0000;

    #[link(name = "kqueue")]
    extern "C" {
        pub fn kqueue() -> c_int;
        pub fn kevent(
            kq: c_int,
            changes: *const kevent,
            change_count: c_int,
            events: *mut kevent,
            event_count: c_int,
            timeout: *const timespec,
        ) -> c_int;
    }
}

/// One event as the kernel writes it.
#[repr(transparent)]
pub(super) struct Kevent(kernel::kevent);

impl Kevent {
    #[inline]
    pub(super) fn ident(&self) -> usize {
        self.0.ident
    }

    #[inline]
    pub(super) fn filter(&self) -> Filter {
        // NetBSD has numbers of its own, and unsigned ones.
        let filter = self.0.filter as i32;
        if filter == kernel::EVFILT_READ as i32 {
            Filter::Read
        } else if filter == kernel::EVFILT_WRITE as i32 {
            Filter::Write
        } else if filter == kernel::EVFILT_USER as i32 {
            Filter::User
        } else if filter == kernel::EVFILT_AIO as i32 {
            Filter::Aio
        } else if filter == kernel::EVFILT_SIGNAL as i32 {
            Filter::Signal
        } else if filter == kernel::EVFILT_PROC as i32 {
            Filter::Process
        } else if filter == kernel::EVFILT_TIMER as i32 {
            Filter::Timer
        } else if matches!(FILTER_EXCEPT, Some((except, _)) if filter == except) {
            Filter::Except
        } else if FILTER_LIO == Some(filter) {
            Filter::Lio
        } else {
            Filter::Other
        }
    }

    #[inline]
    pub(super) fn flags(&self) -> u32 {
        self.0.flags as u32
    }

    #[inline]
    pub(super) fn fflags(&self) -> u32 {
        self.0.fflags as u32
    }

    /// Returns the token of the registration.
    #[inline]
    pub(super) fn data_of_user(&self) -> usize {
        self.0.udata as usize
    }

    /// Returns filter and flags in one number, for `Debug`; [`NAMES`] has their names.
    #[inline]
    pub(super) fn summary(&self) -> u32 {
        (self.flags() & 0xffff) | (1 << (16 + self.filter() as u32))
    }
}

/// The summary of an event that no kernel made, for a pipe that it refused to watch.
pub(super) const RAW_READER_GONE: u32 = name_of(Filter::Write) | EV_EOF | EV_ERROR;

const fn name_of(filter: Filter) -> u32 {
    1 << (16 + filter as u32)
}

pub(super) const NAMES: [(u32, &str); 14] = [
    (name_of(Filter::Read), "EVFILT_READ"),
    (name_of(Filter::Write), "EVFILT_WRITE"),
    (name_of(Filter::Except), "EVFILT_EXCEPT"),
    (name_of(Filter::Aio), "EVFILT_AIO"),
    (name_of(Filter::Lio), "EVFILT_LIO"),
    (name_of(Filter::Signal), "EVFILT_SIGNAL"),
    (name_of(Filter::Process), "EVFILT_PROC"),
    (name_of(Filter::Timer), "EVFILT_TIMER"),
    (name_of(Filter::User), "EVFILT_USER"),
    (EV_EOF, "EV_EOF"),
    (EV_ERROR, "EV_ERROR"),
    (kernel::EV_CLEAR as u32, "EV_CLEAR"),
    (kernel::EV_DISPATCH as u32, "EV_DISPATCH"),
    (kernel::EV_RECEIPT as u32, "EV_RECEIPT"),
];

const _: () = assert!(kernel::EV_EOF as u32 == EV_EOF && kernel::EV_ERROR as u32 == EV_ERROR);

/// The note by which the kernel's filter reports out-of-band data.
pub(super) const OUT_OF_BAND: u32 = match FILTER_EXCEPT {
    Some((_, note)) => note,
    None => 0,
};

/// How many events one call fetches: they are on the stack, 32 bytes each, 64 on FreeBSD.
pub(super) const KERNEL_BATCH: usize = 512;

/// The longest timeout of one call. Some kernels refuse a longer one, others clamp it; the caller waits again.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// A kqueue isn't inherited by a child of `fork`, so nothing can happen between the two calls.
pub(super) fn create() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { kernel::kqueue() })?;
    // SAFETY: just made, and owned by nothing else.
    let kqueue = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(kqueue.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(kqueue)
}

/// Makes `changes` in one call, and stores the receipt of each.
pub(super) fn apply(kqueue: BorrowedFd<'_>, queue: Queue, changes: &mut [Change]) -> io::Result<()> {
    let mut list = [kevent(0, kernel::EVFILT_READ as _, 0, 0, 0); MOST_CHANGES];
    let list = &mut list[..changes.len()];
    for (raw, change) in list.iter_mut().zip(&*changes) {
        let (filter, notes) = match change.filter {
            Filter::Write => (kernel::EVFILT_WRITE as i32, 0),
            Filter::Except => match FILTER_EXCEPT {
                Some((filter, notes)) => (filter, notes),
                None => return Err(io::ErrorKind::Unsupported.into()),
            },
            _ => (kernel::EVFILT_READ as i32, 0),
        };
        let action = match (change.action, queue) {
            (Action::Add, Queue::Events) => kernel::EV_ADD as u32 | mode(change.mode),
            (Action::Add, Queue::Witness) => (kernel::EV_ADD | kernel::EV_CLEAR | kernel::EV_DISABLE) as u32,
            (Action::Delete, _) => kernel::EV_DELETE as u32,
            // The flags that the knotes have already.
            (Action::Query, Queue::Events) => kernel::EV_ENABLE as u32 | mode(change.mode),
            (Action::Query, Queue::Witness) => (kernel::EV_DISABLE | kernel::EV_CLEAR) as u32,
        };
        let flags = action | kernel::EV_RECEIPT as u32;
        *raw = kevent(change.fd as usize, filter, flags, notes, change.token.0);
    }
    submit(kqueue, list)?;
    for (raw, change) in list.iter().zip(changes) {
        change.receipt = match raw.data as i32 {
            0 => Receipt::Done,
            libc::ENOENT => Receipt::Missing,
            libc::EPIPE if is_new_writer(change) => Receipt::ReaderGone,
            // NetBSD returns this for a pipe whose reader has gone (`pipe_kqfilter` in sys_pipe.c).
            libc::EBADF if is_new_writer(change) && FileIdentity::of(change.fd).is_ok() => {
                Receipt::ReaderGone
            }
            errno => Receipt::Failed(errno),
        };
    }
    Ok(())
}

/// Returns the flags of a mode.
fn mode(mode: KnoteMode) -> u32 {
    match mode {
        KnoteMode::Edge => kernel::EV_CLEAR as u32,
        KnoteMode::Level => 0,
        KnoteMode::OneShot => kernel::EV_DISPATCH as u32,
        KnoteMode::EdgeOneShot => (kernel::EV_CLEAR | kernel::EV_DISPATCH) as u32,
    }
}

fn is_new_writer(change: &Change) -> bool {
    change.action == Action::Add && change.filter == Filter::Write
}

/// Makes or renews the knote of a filter that watches no descriptor.
///
/// A one-shot timer is dropped by its event, or it would go on elapsing. Others are disabled by their event, and go on
/// noting what happens.
pub(super) fn add_filter(kqueue: BorrowedFd<'_>, record: &FilterRecord) -> io::Result<()> {
    let (ident, filter) = knote_of(&record.filter);
    let (notes, data, dispatch) = match record.filter {
        KernelFilter::Signal(_) => (0, 0, kernel::EV_DISPATCH as u32),
        KernelFilter::ProcessExit(_) => (kernel::NOTE_EXIT as u32, 0, kernel::EV_DISPATCH as u32),
        KernelFilter::ProcessFork(_) => (kernel::NOTE_FORK as u32, 0, kernel::EV_DISPATCH as u32),
        KernelFilter::ProcessExec(_) => (kernel::NOTE_EXEC as u32, 0, kernel::EV_DISPATCH as u32),
        KernelFilter::Timer { interval, .. } => {
            let (notes, data) = timer_value(interval, TIMER_NANOSECONDS);
            (notes, data, kernel::EV_ONESHOT as u32)
        }
    };
    let flags = kernel::EV_ADD | kernel::EV_ENABLE | kernel::EV_CLEAR | kernel::EV_RECEIPT;
    let once = if record.is_one_shot { dispatch } else { 0 };
    let mut change = kevent(ident, filter, flags as u32 | once, notes, record.token.0);
    change.data = data as _;
    answered(kqueue, change)
}

pub(super) fn delete_filter(kqueue: BorrowedFd<'_>, filter: &KernelFilter) -> io::Result<()> {
    let (ident, filter) = knote_of(filter);
    answered(kqueue, kevent(ident, filter, (kernel::EV_DELETE | kernel::EV_RECEIPT) as u32, 0, 0))
}

/// Returns the kernel's names of a knote.
fn knote_of(filter: &KernelFilter) -> (usize, i32) {
    match filter.id() {
        FilterId::Signal(number) => (number as usize, kernel::EVFILT_SIGNAL as i32),
        FilterId::Process(id) => (id as usize, kernel::EVFILT_PROC as i32),
        FilterId::Timer(id) => (id, kernel::EVFILT_TIMER as i32),
    }
}

/// Makes the knote of `EVFILT_USER`. It must exist before it is triggered: FreeBSD takes `EV_CLEAR` in one call with a
/// trigger as its withdrawal.
pub(super) fn add_user(kqueue: BorrowedFd<'_>) -> io::Result<()> {
    let flags = kernel::EV_ADD | kernel::EV_CLEAR | kernel::EV_RECEIPT;
    answered(kqueue, kevent(0, kernel::EVFILT_USER as _, flags as u32, 0, 0))
}

/// Watches the reading end of the wakeup's pipe.
pub(super) fn add_reader(kqueue: BorrowedFd<'_>, fd: RawFd) -> io::Result<()> {
    let flags = kernel::EV_ADD | kernel::EV_CLEAR | kernel::EV_RECEIPT;
    answered(kqueue, kevent(fd as usize, kernel::EVFILT_READ as _, flags as u32, 0, 0))
}

pub(super) fn trigger_user(kqueue: BorrowedFd<'_>) -> io::Result<()> {
    let flags = kernel::EV_RECEIPT as u32;
    answered(kqueue, kevent(0, kernel::EVFILT_USER as _, flags, kernel::NOTE_TRIGGER as u32, 0))
}

/// Waits for at most `asked` events (and at most [`KERNEL_BATCH`]), and gives each to `each`.
#[inline]
pub(super) fn wait(
    kqueue: BorrowedFd<'_>,
    asked: usize,
    timeout: Option<Duration>,
    each: impl FnMut(&Kevent),
) -> io::Result<()> {
    let timeout = timeout.map(|timeout| {
        let timeout = timeout.min(LONGEST_SLEEP);
        libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ }
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), |timeout| timeout as *const _);
    let mut buffer = MaybeUninit::<[Kevent; KERNEL_BATCH]>::uninit();
    let asked = asked.min(KERNEL_BATCH);
    // SAFETY: no changes; the buffer has room for `asked` entries, and `Kevent` is a kevent; `timeout` is only read.
    let found = unsafe {
        kernel::kevent(kqueue.as_raw_fd(), ptr::null(), 0, buffer.as_mut_ptr().cast(), asked as _, timeout)
    };
    let found = check(found)? as usize;
    // SAFETY: the kernel has written the first `found` entries.
    let events = unsafe { slice::from_raw_parts(buffer.as_ptr().cast::<Kevent>(), found) };
    events.iter().for_each(each);
    Ok(())
}

fn kevent(ident: usize, filter: i32, flags: u32, notes: u32, token: usize) -> kernel::kevent {
    // SAFETY: numbers and a pointer: zero is legal for each. FreeBSD's has more fields than others.
    let mut raw: kernel::kevent = unsafe { mem::zeroed() };
    raw.ident = ident as _;
    raw.filter = filter as _;
    raw.flags = flags as _;
    raw.fflags = notes as _;
    raw.udata = token as _;
    raw
}

fn answered(kqueue: BorrowedFd<'_>, change: kernel::kevent) -> io::Result<()> {
    let mut list = [change];
    submit(kqueue, &mut list)?;
    match list[0].data as i32 {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Submits changes, each of which asks for a receipt and is overwritten by it. With as many receipts as there is space
/// for, the kernel takes no event from its queue.
fn submit(kqueue: BorrowedFd<'_>, list: &mut [kernel::kevent]) -> io::Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let count = list.len();
    let entries = list.as_mut_ptr();
    // SAFETY: `count` entries to read, and room for as many; the kernel may read and write the same ones, since it
    // writes a receipt after it has read its change. `at_once` is only read.
    let receipts =
        unsafe { kernel::kevent(kqueue.as_raw_fd(), entries, count as _, entries, count as _, &at_once) };
    if check(receipts)? as usize == count {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the kqueue gives no receipts"))
    }
}
