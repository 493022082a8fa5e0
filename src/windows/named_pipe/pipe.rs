//! The state machine of a pipe: its operations in progress, and their results.
//!
//! Invariant: at most one read, one write and one connect are in progress, and each buffer belongs to the kernel
//! until its operation has ended.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::backend::{Completions, UserEventKey};
use crate::os::{self, Operation, Owner, PipeError, Request, Ticket, Transfer};
use crate::readiness::{Interest, Readiness};
use crate::windows::user_registration::UserRegistration;

/// The owner of the operations. The operations hold it weakly, so dropping the source closes the handle at once, and
/// a later completion finds no owner.
pub(super) struct Pipe {
    handle: OwnedHandle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The registration to raise events for.
    link: Option<Link>,
    reading: Reading,
    writing: Writing,
    connecting: Connecting,
    connect_error: Option<io::Error>,
    /// `connect` has returned `Ok` since the last `disconnect`: a client that has gone is that one, and not a new one.
    was_connected: bool,
    /// The program reads or has an interest in readable, so the pipe reads ahead.
    reads: bool,
    /// The size of the caller's largest buffer so far, which the next read ahead may fill.
    caller_size: usize,
}

struct Link {
    completions: Weak<Completions>,
    /// The key of the last registration. If that has ended, the key matches nothing.
    key: UserEventKey,
    /// Whether the registration reports the present readiness, which operations use up.
    is_level: bool,
}

type Transfers = Request<Transfer<Weak<Pipe>>>;

#[derive(Default)]
enum Reading {
    #[default]
    Never,
    Idle(Transfers),
    Pending(Ticket),
    /// From a client that was disconnected since: its result is discarded.
    Stale(Ticket),
    /// The bytes between the two positions are unread.
    Done(Transfers, usize, usize),
    Failed(Transfers, io::Error),
}

#[derive(Default)]
enum Writing {
    #[default]
    Never,
    Idle(Transfers),
    Pending(Ticket),
    /// To a client that was disconnected since: its result is discarded.
    Stale(Ticket),
    Failed(Transfers, io::Error),
    /// The source was dropped; the operation continues under this number.
    Detached(usize),
}

#[derive(Default)]
enum Connecting {
    #[default]
    No,
    /// Starts when the pipe is registered.
    Wanted,
    Pending(Ticket),
    /// A client has connected, and may have gone by now: the next call returns `Ok` without asking the kernel.
    Done,
}

/// The minimum of a read ahead: the size of the first, before a caller's buffer is known.
const READ_SIZE: usize = 16 << 10;
/// The maximum, however large the caller's buffer is.
const MAX_READ_SIZE: usize = 1 << 20;
/// A write buffer that has grown beyond this is shrunk.
const KEPT_WRITE_SIZE: usize = 64 << 10;

impl Pipe {
    pub(super) fn new(handle: OwnedHandle) -> Pipe {
        Pipe { handle, state: Mutex::default() }
    }

    pub(super) fn into_handle(self) -> OwnedHandle {
        self.handle
    }

    /// Starts a connect, if none is in progress; without a `Poll`, defers it to the registration.
    pub(super) fn connect(self: &Arc<Pipe>, completions: Option<&Completions>) -> io::Result<()> {
        let mut state = self.lock();
        match state.connecting {
            Connecting::No => {}
            Connecting::Done => {
                state.connecting = Connecting::No;
                state.was_connected = true;
                return Ok(());
            }
            Connecting::Wanted | Connecting::Pending(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        match completions {
            Some(completions) => {
                self.begin_connect(&mut state, completions)?;
                state.was_connected = true;
                Ok(())
            }
            None => {
                state.connecting = Connecting::Wanted;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    pub(super) fn take_connect_error(&self) -> Option<io::Error> {
        self.lock().connect_error.take()
    }

    /// Disconnects the client, and discards its operations and their results.
    pub(super) fn disconnect(&self) -> io::Result<()> {
        let mut state = self.lock();
        os::disconnect_pipe(self.as_handle())?;
        if matches!(state.connecting, Connecting::Done) {
            state.connecting = Connecting::No;
        }
        state.was_connected = false;
        state.reading = match mem::take(&mut state.reading) {
            Reading::Pending(ticket) => Reading::Stale(ticket),
            Reading::Done(request, ..) | Reading::Failed(request, _) => Reading::Idle(request),
            other => other,
        };
        state.writing = match mem::take(&mut state.writing) {
            Writing::Pending(ticket) => Writing::Stale(ticket),
            Writing::Failed(request, _) => Writing::Idle(request),
            other => other,
        };
        state.lower();
        Ok(())
    }

    /// Called when a registration starts or changes: reports the present readiness, and starts operations for the
    /// rest.
    pub(super) fn begin(self: &Arc<Pipe>, registration: &UserRegistration, interest: Interest) {
        let Some(completions) = &registration.completions() else {
            return;
        };
        let mut state = self.lock();
        let (key, is_level) = (registration.key(), interest.is_level());
        state.link = Some(Link { completions: Arc::downgrade(completions), key, is_level });
        if matches!(state.connecting, Connecting::Wanted) {
            match self.begin_connect(&mut state, completions) {
                // The client may go before the next call, which must return `Ok` all the same.
                Ok(()) => state.connecting = Connecting::Done,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => state.connect_error = Some(e),
            }
        }
        if interest.is_readable() {
            state.reads = true;
            self.begin_read(&mut state, completions);
        }
        state.raise(state.readable().union(state.writable()));
    }

    /// Called when the source is dropped: cancels the operations in progress, except a write.
    pub(super) fn abandon(self: &Arc<Pipe>, completions: &Completions) {
        let mut state = self.lock();
        if let Reading::Pending(ticket) | Reading::Stale(ticket) = &state.reading {
            ticket.cancel(self.as_handle());
        }
        if let Connecting::Pending(ticket) = &state.connecting {
            ticket.cancel(self.as_handle());
        }
        match mem::take(&mut state.writing) {
            Writing::Pending(ticket) => {
                state.writing = Writing::Detached(completions.detach(self.clone(), ticket))
            }
            Writing::Stale(ticket) => ticket.cancel(self.as_handle()),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(
        self: &Arc<Pipe>,
        request: Transfers,
        operation: Operation,
        completions: &Completions,
    ) -> Result<Ticket, (Transfers, io::Error)> {
        os::start(request, operation, Arc::downgrade(self), self.handle.as_handle(), completions.port())
    }

    fn begin_connect(self: &Arc<Pipe>, state: &mut State, completions: &Completions) -> io::Result<()> {
        match self.start(Transfer::request(Vec::new()), Operation::Connect, completions) {
            Ok(ticket) => {
                state.connecting = Connecting::Pending(ticket);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err((_, e)) => {
                state.connecting = Connecting::No;
                match PipeError::of(&e) {
                    PipeError::Connected => {}
                    // A client came, perhaps wrote, and has gone: a connection whose data and end can still be read.
                    PipeError::Gone if !state.was_connected => {}
                    _ => return Err(e),
                }
                self.begin_read_of_new(state, completions);
                Ok(())
            }
        }
    }

    /// Starts a read ahead, unless one is in progress or has ended unread, and reports an immediate failure.
    fn begin_read(self: &Arc<Pipe>, state: &mut State, completions: &Completions) {
        if self.try_begin_read(state, completions) && matches!(state.reading, Reading::Failed(..)) {
            state.raise(state.readable());
        }
    }

    /// Starts a read ahead from a client that has, or may have, just connected: an earlier failure concerns an
    /// earlier client.
    fn begin_read_of_new(self: &Arc<Pipe>, state: &mut State, completions: &Completions) {
        if !state.reads {
            return;
        }
        state.reading = match mem::take(&mut state.reading) {
            Reading::Failed(request, _) => Reading::Idle(request),
            other => other,
        };
        self.try_begin_read(state, completions);
        state.reading = match mem::take(&mut state.reading) {
            Reading::Failed(request, e) if PipeError::of(&e) == PipeError::Disconnected => {
                Reading::Idle(request)
            }
            other => other,
        };
        state.raise(state.readable());
    }

    /// Returns whether there was a read ahead to start.
    fn try_begin_read(self: &Arc<Pipe>, state: &mut State, completions: &Completions) -> bool {
        let mut request = match mem::take(&mut state.reading) {
            Reading::Never => Transfer::request(Vec::new()),
            Reading::Idle(request) => request,
            other => {
                state.reading = other;
                return false;
            }
        };
        let bytes = &mut request.body_mut().bytes;
        bytes.resize(state.caller_size.clamp(READ_SIZE, MAX_READ_SIZE), 0);
        state.reading = match self.start(request, Operation::Read, completions) {
            Ok(ticket) => Reading::Pending(ticket),
            Err((request, e)) => match PipeError::of(&e) {
                // Reading starts when a client connects.
                PipeError::Listening => Reading::Idle(request),
                _ => Reading::Failed(request, e),
            },
        };
        true
    }

    pub(super) fn read(
        self: &Arc<Pipe>,
        bufs: &mut [IoSliceMut<'_>],
        completions: &Completions,
    ) -> io::Result<usize> {
        let mut state = self.lock();
        let result = self.read_ahead(&mut state, bufs, completions);
        state.lower();
        result
    }

    fn read_ahead(
        self: &Arc<Pipe>,
        state: &mut State,
        bufs: &mut [IoSliceMut<'_>],
        completions: &Completions,
    ) -> io::Result<usize> {
        state.reads = true;
        let size = bufs.iter().fold(0_usize, |sum, buf| sum.saturating_add(buf.len()));
        state.caller_size = state.caller_size.max(size);
        self.try_begin_read(state, completions);
        match mem::take(&mut state.reading) {
            Reading::Done(request, mut from, to) => {
                let start = from;
                for buf in bufs {
                    let count = buf.len().min(to - from);
                    buf[..count].copy_from_slice(&request.body().bytes[from..from + count]);
                    from += count;
                }
                if from < to {
                    state.reading = Reading::Done(request, from, to);
                } else {
                    state.reading = Reading::Idle(request);
                    self.begin_read(state, completions);
                }
                Ok(from - start)
            }
            Reading::Failed(request, e) => {
                let is_end = matches!(PipeError::of(&e), PipeError::Closed);
                if is_end && state.link.as_ref().is_some_and(|link| link.is_level) {
                    // The end lasts, and is reported by each `poll`.
                    state.reading = Reading::Failed(request, e);
                    return Ok(0);
                }
                // A new read ahead would fail at once, and report it for ever: the next `read` starts one.
                state.reading = Reading::Idle(request);
                match is_end {
                    true => Ok(0),
                    false => Err(e),
                }
            }
            other => {
                state.reading = other;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Writes the slices in one write: on a pipe of messages, as one message.
    pub(super) fn write(
        self: &Arc<Pipe>,
        bufs: &[IoSlice<'_>],
        completions: &Completions,
    ) -> io::Result<usize> {
        let mut state = self.lock();
        let result = self.begin_write(&mut state, bufs, completions);
        state.lower();
        result
    }

    fn begin_write(
        self: &Arc<Pipe>,
        state: &mut State,
        bufs: &[IoSlice<'_>],
        completions: &Completions,
    ) -> io::Result<usize> {
        let mut request = match mem::take(&mut state.writing) {
            Writing::Never => Transfer::request(Vec::new()),
            Writing::Idle(request) => request,
            Writing::Failed(request, e) => {
                state.writing = Writing::Idle(request);
                return Err(e);
            }
            other => {
                state.writing = other;
                return Err(io::ErrorKind::WouldBlock.into());
            }
        };
        let bytes = &mut request.body_mut().bytes;
        bytes.clear();
        for buf in bufs {
            bytes.extend_from_slice(buf);
        }
        let length = bytes.len();
        match self.start(request, Operation::Write(0), completions) {
            Ok(ticket) => {
                state.writing = Writing::Pending(ticket);
                Ok(length)
            }
            Err((request, e)) => {
                state.writing = Writing::Idle(request);
                Err(match PipeError::of(&e) {
                    PipeError::Listening => io::ErrorKind::WouldBlock.into(),
                    _ => e,
                })
            }
        }
    }

    fn ended_read(self: &Arc<Pipe>, state: &mut State, request: Transfers) {
        if matches!(state.reading, Reading::Stale(_)) {
            state.reading = Reading::Idle(request);
            if let Some(completions) = state.completions() {
                // The next client may have connected already.
                self.begin_read_of_new(state, &completions);
            }
            return;
        }
        state.reading = match request.transferred() {
            Ok(count) => Reading::Done(request, 0, count),
            Err(e) if PipeError::of(&e) == PipeError::Cancelled => {
                state.reading = Reading::Idle(request);
                // Cancelled by other code: this source cancels only when it is dropped.
                if let Some(completions) = state.completions() {
                    self.begin_read(state, &completions);
                }
                return;
            }
            Err(e) => Reading::Failed(request, e),
        };
        state.raise(state.readable());
    }

    fn ended_write(self: &Arc<Pipe>, state: &mut State, from: usize, mut request: Transfers) {
        if matches!(state.writing, Writing::Stale(_)) {
            state.writing = Writing::Idle(request);
            state.raise(state.writable());
            return;
        }
        let completions = state.link.as_ref().and_then(|link| link.completions.upgrade());
        let detached = match state.writing {
            Writing::Detached(number) => Some(number),
            _ => None,
        };
        if let (Some(number), Some(completions)) = (detached, &completions) {
            completions.forget_detached(number);
        }
        state.writing = match request.transferred() {
            Ok(count) => {
                let from = from + count;
                let is_whole = count == 0 || from >= request.body().bytes.len();
                if let (false, Some(completions)) = (is_whole, &completions) {
                    match self.start(request, Operation::Write(from), completions) {
                        Ok(ticket) if detached.is_some() => {
                            Writing::Detached(completions.detach(self.clone(), ticket))
                        }
                        Ok(ticket) => Writing::Pending(ticket),
                        Err((request, e)) => Writing::Failed(request, e),
                    }
                } else {
                    let bytes = &mut request.body_mut().bytes;
                    bytes.clear();
                    bytes.shrink_to(KEPT_WRITE_SIZE);
                    Writing::Idle(request)
                }
            }
            Err(e) => Writing::Failed(request, e),
        };
        state.raise(state.writable());
    }

    fn ended_connect(self: &Arc<Pipe>, state: &mut State, request: Transfers) {
        state.connecting = Connecting::No;
        match request.transferred() {
            Err(e) if PipeError::of(&e) != PipeError::Gone => state.connect_error = Some(e),
            _ => {
                state.connecting = Connecting::Done;
                if let Some(completions) = state.completions() {
                    self.begin_read_of_new(state, &completions);
                }
            }
        }
        state.raise(state.writable());
    }
}

impl Owner for Weak<Pipe> {
    fn ended(self, operation: Operation, request: Transfers) {
        let Some(pipe) = self.upgrade() else {
            return;
        };
        let mut state = pipe.lock();
        match operation {
            Operation::Connect => pipe.ended_connect(&mut state, request),
            Operation::Read => pipe.ended_read(&mut state, request),
            Operation::Write(from) => pipe.ended_write(&mut state, from, request),
        }
    }
}

impl AsHandle for Pipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl State {
    /// Returns the completions of the `Poll`, unless the source was dropped.
    fn completions(&self) -> Option<Arc<Completions>> {
        match &self.writing {
            Writing::Detached(_) => None,
            _ => self.link.as_ref()?.completions.upgrade(),
        }
    }

    fn readable(&self) -> Readiness {
        match &self.reading {
            Reading::Done(..) => Readiness::READABLE,
            Reading::Failed(_, e) => Readiness::READABLE.union(match PipeError::of(e) {
                PipeError::Closed => Readiness::READ_CLOSED,
                _ => Readiness::ERROR,
            }),
            Reading::Never | Reading::Idle(_) | Reading::Pending(_) | Reading::Stale(_) => Readiness::NONE,
        }
    }

    fn writable(&self) -> Readiness {
        let error = Readiness::ERROR.when(self.connect_error.is_some());
        match &self.writing {
            Writing::Never | Writing::Idle(_) => Readiness::WRITABLE.union(error),
            Writing::Failed(..) => Readiness::WRITABLE.union(Readiness::ERROR),
            Writing::Pending(_) | Writing::Stale(_) | Writing::Detached(_) => Readiness::NONE,
        }
    }

    /// Withdraws from a level-triggered registration what an operation has used up.
    fn lower(&self) {
        let Some(Link { completions, key, is_level: true }) = &self.link else {
            return;
        };
        if let Some(completions) = completions.upgrade() {
            completions.set_level(*key, self.readable().union(self.writable()));
        }
    }

    fn raise(&self, readiness: Readiness) {
        let Some(Link { completions, key, .. }) = &self.link else {
            return;
        };
        if let Some(completions) = completions.upgrade() {
            // If this fails, the poller is not woken, but finds the event at its next poll.
            let _ = completions.post(*key, readiness);
        }
    }
}
