//! The tasks of a host, and their calls to its kernel.
//!
//! Invariant: every method leaves the decision to `backend::sim`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

use crate::backend::{Current, Family, Outside, Patience, SocketName, SocketType, SourceState, What};

/// A thread of a simulated host, and what it can ask the host's kernel for.
///
/// Programs don't need this type. A package that shadows the system calls of a program does: `wakeful-world`. Each
/// method on a descriptor returns `None`, and does nothing, if the descriptor is none of the world.
///
/// # Portability
///
/// Unix.
#[derive(Clone, Copy)]
pub struct Task {
    current: &'static Current,
}

/// Sets what each thread does before it makes a [`Poll`](crate::Poll): it may become a task. The first call counts.
pub fn before_each_poll(act: fn()) {
    Current::set_before_poll(act);
}

impl Task {
    pub(super) fn of(current: &'static Current) -> Task {
        Task { current }
    }

    /// Returns the task that the calling thread is; `None` outside of a world, and within the world's own code.
    #[inline]
    #[must_use]
    pub fn current() -> Option<Task> {
        Current::get().map(Task::of)
    }

    /// Returns the number of the task, by which others unpark it.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.current.task()
    }

    /// Returns whether both tasks are of the same world.
    #[must_use]
    pub fn is_of_world(&self, other: &Task) -> bool {
        std::sync::Arc::ptr_eq(self.current.world(), other.current.world())
    }

    /// Returns the number of the task's host.
    #[must_use]
    pub fn host(&self) -> u32 {
        self.current.host()
    }

    /// Adds a task to the same host, for a thread that this one starts.
    #[must_use]
    pub fn spawn(&self) -> Task {
        let (world, host) = (self.current.world(), self.current.host());
        Task::of(Current::new(world, world.add_task(host, false), host))
    }

    /// Makes the calling thread this task. Blocks until its first turn.
    pub fn enter(self) {
        self.current.enter();
    }

    /// Ends a task whose thread could not be started.
    pub fn abandon(self) {
        self.current.abandon();
    }

    /// Ends the task, which the calling thread is.
    pub fn leave(self) {
        self.current.leave();
    }

    /// Returns the time since the start of the world, by the clock of the host.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.current.time()
    }

    /// Waits until `deadline` by the clock of the host, or until [`unpark`](Task::unpark). Returns whether it was that.
    pub fn park(&self, deadline: Option<Duration>) -> bool {
        self.current.park(deadline)
    }

    /// Ends the wait of this task, if it is parked. Returns whether it was.
    pub fn unpark(&self) -> bool {
        self.current.unpark()
    }

    /// Runs `call` outside of the world: what it calls is real.
    pub fn outside<R>(&self, call: impl FnOnce() -> R) -> R {
        let _outside = Outside::new();
        call()
    }

    /// Gives the other tasks that are ready a turn.
    pub fn yield_turn(&self) {
        self.current.yield_turn();
    }

    /// Fills `buf` with the host's random numbers.
    pub fn fill_random(&self, buf: &mut [u8]) {
        self.current.random(buf);
    }

    /// Returns the addresses of the host that has this name.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.current.resolve(name)
    }

    /// Writes a line into the world's log.
    pub fn note(&self, text: impl Into<String>) {
        self.current.note(What::Note(text.into()));
    }

    /// Ends the run as failed.
    pub fn fail(&self, reason: impl Into<String>) {
        self.current.fail(reason.into());
    }

    /// Returns whether `fd` is a descriptor of this world.
    #[must_use]
    pub fn knows(&self, fd: i32) -> bool {
        self.current.knows(fd)
    }

    /// Makes `fd`, a new real socket, stand for a new socket of the host.
    pub fn socket(&self, fd: i32, family: Family, kind: SocketType) {
        self.current.socket(fd, family, kind);
    }

    /// Makes two descriptors stand for the ends of a new connection within the host.
    pub fn socket_pair(&self, one: i32, other: i32, kind: SocketType) {
        self.current.socket_pair(one, other, kind);
    }

    /// Makes two descriptors stand for the ends of a new pipe.
    pub fn pipe(&self, reader: i32, writer: i32) {
        self.current.pipe(reader, writer);
    }

    /// Makes `fd` stand for a stream that never becomes readable: for what comes from outside of the world.
    pub fn silent_stream(&self, fd: i32) {
        self.current.silent_stream(fd);
    }

    /// Makes `new` stand for the same socket as `fd`.
    pub fn duplicate(&self, fd: i32, new: i32) -> Option<()> {
        self.current.duplicate(fd, new)
    }

    /// Forgets `fd`, and closes its socket if no other descriptor stands for it. `aborts` returns whether the peer gets
    /// a reset: `SO_LINGER` with a time of 0.
    pub fn close(&self, fd: i32, aborts: impl FnOnce() -> bool) -> Option<()> {
        self.current.close(fd, aborts)
    }

    /// Binds a socket: bind(2).
    pub fn bind(&self, fd: i32, name: SocketName, shares_name: bool) -> Option<io::Result<()>> {
        self.current.bind(fd, name, shares_name)
    }

    /// Sets whether an IPv6 socket that is bound later takes no IPv4: `IPV6_V6ONLY`.
    pub fn set_only_v6(&self, fd: i32, is_only_v6: bool) {
        self.current.set_only_v6(fd, is_only_v6);
    }

    /// Makes a socket a listener: listen(2).
    pub fn listen(&self, fd: i32, backlog: usize) -> Option<io::Result<()>> {
        self.current.listen(fd, backlog)
    }

    /// Connects a socket, or begins to (`EINPROGRESS`): connect(2).
    pub fn connect(
        &self,
        fd: i32,
        to: SocketName,
        patience: impl Fn() -> Patience,
    ) -> Option<io::Result<()>> {
        self.current.connect(fd, to, patience)
    }

    /// Accepts a connection: accept(2). `open` opens the real socket that stands for it.
    pub fn accept(
        &self,
        fd: i32,
        patience: impl Fn() -> Patience,
        open: impl Fn(Family) -> io::Result<i32>,
    ) -> Option<io::Result<(i32, SocketName)>> {
        self.current.accept(fd, patience, open)
    }

    /// Receives bytes or a datagram: recvmsg(2). Returns the length that was received, the length of the datagram
    /// before it was truncated, and its sender.
    pub fn receive(
        &self,
        fd: i32,
        bufs: &mut [IoSliceMut<'_>],
        peeks: bool,
        patience: impl Fn() -> Patience,
    ) -> Option<io::Result<(usize, usize, SocketName)>> {
        self.current.receive(fd, bufs, peeks, patience)
    }

    /// Sends bytes or a datagram: sendmsg(2).
    pub fn send(
        &self,
        fd: i32,
        bufs: &[IoSlice<'_>],
        to: Option<&SocketName>,
        patience: impl Fn() -> Patience,
    ) -> Option<io::Result<usize>> {
        self.current.send(fd, bufs, to, patience)
    }

    /// Shuts down one direction or both: shutdown(2).
    pub fn shutdown(&self, fd: i32, how: Shutdown) -> Option<io::Result<()>> {
        self.current.shutdown(fd, how)
    }

    /// Returns the socket's own name: getsockname(2).
    #[must_use]
    pub fn local_name(&self, fd: i32) -> Option<io::Result<SocketName>> {
        self.current.local_name(fd)
    }

    /// Returns the family of a socket.
    #[must_use]
    pub fn family(&self, fd: i32) -> Option<Family> {
        self.current.local_family(fd)
    }

    /// Returns the name of the peer: getpeername(2).
    #[must_use]
    pub fn peer_name(&self, fd: i32) -> Option<io::Result<SocketName>> {
        self.current.peer_name(fd)
    }

    /// Takes the pending error, a number of the system: `SO_ERROR`.
    #[must_use]
    pub fn take_error(&self, fd: i32) -> Option<Option<i32>> {
        self.current.take_error(fd)
    }

    /// Returns how many bytes can be read: `FIONREAD`.
    #[must_use]
    pub fn waiting(&self, fd: i32) -> Option<usize> {
        self.current.waiting(fd)
    }

    /// Returns the state of what `fd` stands for: poll(2).
    #[must_use]
    pub fn readiness(&self, fd: i32) -> Option<SourceState> {
        self.current.readiness(fd)
    }

    /// Removes the path of a Unix-domain socket. Returns whether there was one.
    #[must_use]
    pub fn unlink(&self, path: &[u8]) -> bool {
        self.current.unlink(path)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("host", &self.host()).field("number", &self.number()).finish()
    }
}
