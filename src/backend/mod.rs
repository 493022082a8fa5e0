//! How readiness is obtained from a kernel: one folder for each way, one contract, one choice.

mod absent;
#[cfg(all(
    not(windows),
    any(
        feature = "backends",
        mio_unsupported_force_poll_poll,
        not(any(target_os = "linux", target_vendor = "apple"))
    )
))]
mod list_backend;
/// The decisions about registrations and kernels' results, one file for each. They make no system call, so a build with
/// every backend compiles and tests them on every target, also those that another kernel needs. A build with a single
/// backend leaves those out where most builds are made: not used, they would still take time, and some make code.
///
/// Invariant: a file here reaches a kernel only through a trait, which its tests implement too.
mod logic {
    #[cfg(any(feature = "backends", windows))]
    #[allow(dead_code)] // one kernel's, but tested everywhere
    pub(crate) mod afd_flags;
    #[cfg(any(test, fuzzing))]
    #[cfg_attr(not(fuzzing), allow(dead_code))]
    pub mod fuzzing;
    #[cfg(all(unix, any(feature = "backends", wakeful_libkqueue, not(target_os = "linux"))))]
    #[allow(dead_code)] // some kernels', but tested on every Unix
    pub(in crate::backend) mod kernel_filters;
    #[cfg(any(feature = "backends", wakeful_libkqueue, not(target_os = "linux")))]
    #[allow(dead_code)] // some kernels', but tested everywhere
    pub(in crate::backend) mod knotes;
    #[cfg(any(feature = "backends", target_os = "wasi"))]
    #[allow(dead_code)] // one kernel's, but tested everywhere
    pub(crate) mod oneoff_flags;
    #[cfg(not(windows))]
    #[allow(dead_code)] // for kernels that keep no registrations
    pub(in crate::backend) mod poll_entry;
    #[cfg(all(unix, any(feature = "backends", not(any(target_os = "linux", target_vendor = "apple")))))]
    #[allow(dead_code)] // one kernel's, but tested on every Unix
    pub(in crate::backend) mod port_state;
    #[allow(dead_code)] // for kernels that keep no registrations
    pub(in crate::backend) mod recheck_queue;
    #[cfg(all(
        not(windows),
        any(
            feature = "backends",
            mio_unsupported_force_poll_poll,
            not(any(target_os = "linux", target_vendor = "apple"))
        )
    ))]
    pub(in crate::backend) mod registrations;
    pub(in crate::backend) mod slab;
    #[allow(dead_code)] // for kernels that keep no registrations, except the parameters of one
    pub(in crate::backend) mod watch;
}
mod name;
mod poller;

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "emscripten",
    target_os = "illumos",
    target_os = "redox"
))]
mod epoll;
#[cfg(any(target_os = "solaris", all(target_os = "illumos", feature = "backends")))]
mod event_ports;
#[cfg(windows)]
mod iocp;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    wakeful_libkqueue
))]
mod kqueue;
#[cfg(all(
    any(unix, target_os = "hermit", all(target_os = "wasi", target_env = "p2")),
    any(
        feature = "backends",
        mio_unsupported_force_poll_poll,
        not(any(target_os = "linux", target_vendor = "apple"))
    )
))]
mod posix_poll;
#[cfg(feature = "sim")]
mod sim;
#[cfg(all(target_os = "wasi", not(target_env = "p2")))]
mod wasi;

#[cfg(windows)]
#[cfg_attr(not(feature = "os-ext"), allow(unused_imports))]
pub(crate) use self::iocp::{Completions, ObjectWait, UserEventKey};
#[cfg(fuzzing)]
pub use self::logic::fuzzing;
pub(crate) use self::logic::slab::{Slab, SlabKey};
#[cfg(all(unix, feature = "os-ext"))]
pub(crate) use self::logic::watch::{FilterChange, FilterOwner};
pub(crate) use self::logic::watch::{RearmCause, Registration, WatchKey};
pub use self::name::{Backend, UnknownBackend};
pub(crate) use self::poller::{check_mode, Poller};
#[cfg(feature = "sim")]
pub use self::sim::{
    seat_tasks_by, Address, Choice, ChoiceKind, Director, End, Endpoint, Family, Faults, Link, Patience,
    Record, Seat, SocketName, SocketType, SourceState, What,
};
#[cfg(feature = "sim")]
pub(crate) use self::sim::{Choices, Current, HostNumber, Id as SimId, Outside, Sim, World};

use std::fmt;
use std::io;
#[cfg(windows)]
use std::sync::Arc;
use std::time::{Duration, Instant};

#[allow(unused_imports)] // a target that has every backend needs no stand-in
use self::absent::*;
use self::name::{for_each_backend, Names};
#[cfg(feature = "backends")]
use crate::os::environment::Variable;
#[cfg(all(unix, feature = "os-ext"))]
use crate::os::KernelFilter;
use crate::os::RawIo;
#[allow(unused_imports)] // most systems have no interest of their own
use crate::readiness::Interest;
use crate::readiness::{Event, Events};

/// poll(2), with the others if they are asked for.
#[cfg(any(feature = "backends", mio_unsupported_force_poll_poll))]
use self::posix_poll as last_resort;

/// poll(2) where no other is present: a build with one backend has no code of a second.
#[cfg(not(any(feature = "backends", mio_unsupported_force_poll_poll)))]
mod last_resort {
    use crate::backend::{epoll, event_ports, kqueue, posix_poll, Poller};

    type OrElse<A, B> = <A as Poller>::OrElse<B>;

    pub(crate) type PosixPoll =
        OrElse<epoll::Epoll, OrElse<kqueue::Kqueue, OrElse<event_ports::EventPorts, posix_poll::PosixPoll>>>;
}

macro_rules! selectors {
    ($($(#[$doc:meta])* $Name:ident($module:ident, $text:literal),)*) => {
        impl Backend {
            const fn is_present(self) -> bool {
                match self {
                    $(Backend::$Name => <$module::$Name as Poller>::PRESENT,)*
                }
            }

            fn describe(self, raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Backend::$Name => <$module::$Name as Poller>::describe(raw, f),)*
                }
            }
        }

        /// A backend at work: the one place that chooses.
        #[allow(clippy::large_enum_variant)] // there is one for each `Poll`
        pub(crate) enum Selector {
            $($Name($module::$Name),)*
        }

        impl Selector {
            pub(crate) fn new(backend: Backend) -> io::Result<Selector> {
                if !backend.is_present() {
                    return Err(not_available(backend));
                }
                match backend {
                    $(Backend::$Name => <$module::$Name as Poller>::new().map(Selector::$Name),)*
                }
            }

            pub(crate) fn backend(&self) -> Backend {
                match self {
                    $(Selector::$Name(_) => Backend::$Name,)*
                }
            }

            pub(crate) fn timer_slack(&self) -> Duration {
                match self {
                    $(Selector::$Name(_) => <$module::$Name as Poller>::TIMER_SLACK,)*
                }
            }

            pub(crate) fn time_passes(&self) -> bool {
                match self {
                    $(Selector::$Name(_) => <$module::$Name as Poller>::TIME_PASSES,)*
                }
            }

            #[inline]
            pub(crate) fn now(&self) -> Instant {
                match self {
                    $(Selector::$Name(selector) => selector.now(),)*
                }
            }

            // Always: see `Poll::poll`.
            #[inline(always)]
            pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.wait(events, timeout),)*
                }
            }

            /// Waits like `wait`, but is never inlined: for callers off the hot path.
            #[inline(never)]
            pub(crate) fn wait_cold(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
                self.wait(events, timeout)
            }

            pub(crate) fn prepare_notify(&self) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.prepare_notify(),)*
                }
            }

            pub(crate) fn notify(&self) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.notify(),)*
                }
            }

            #[inline]
            pub(crate) fn register(
                &self,
                io: RawIo,
                registration: Registration,
            ) -> io::Result<Option<WatchKey>> {
                match self {
                    $(Selector::$Name(selector) => selector.register(io, registration),)*
                }
            }

            #[inline]
            pub(crate) fn reregister(
                &self,
                io: RawIo,
                key: Option<WatchKey>,
                registration: Registration,
            ) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.reregister(io, key, registration),)*
                }
            }

            #[inline]
            pub(crate) fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.deregister(io, key),)*
                }
            }

            pub(crate) fn rearm(&self, key: WatchKey, cause: RearmCause) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.rearm(key, cause),)*
                }
            }

            pub(crate) fn abandon(&self, key: WatchKey) {
                match self {
                    $(Selector::$Name(selector) => selector.abandon(key),)*
                }
            }

            pub(crate) fn allow_replacement(&self, key: WatchKey) {
                match self {
                    $(Selector::$Name(selector) => selector.allow_replacement(key),)*
                }
            }

            #[cfg(all(unix, feature = "os-ext"))]
            pub(crate) fn change_filter(
                &self,
                filter: &KernelFilter,
                owner: FilterOwner,
                change: FilterChange,
            ) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.change_filter(filter, owner, change),)*
                }
            }

            pub(crate) fn end(&self) {
                match self {
                    $(Selector::$Name(selector) => selector.end(),)*
                }
            }

            #[cfg(unix)]
            pub(crate) fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
                match self {
                    $(Selector::$Name(selector) => selector.descriptor(),)*
                }
            }
        }
    };
}

for_each_backend!(selectors);

#[cfg(windows)]
impl Selector {
    /// Where operations on handles that are no sockets complete, and from where their sources are reported. A
    /// simulation has none.
    #[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
    pub(crate) fn completions(&self) -> io::Result<&Arc<Completions>> {
        match self {
            Selector::Iocp(iocp) => Ok(iocp.completions()),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, poller::ONLY_SIMULATED)),
        }
    }
}

#[cfg(feature = "sim")]
impl Selector {
    pub(crate) fn of_world(world: &std::sync::Arc<World>) -> Selector {
        Selector::Sim(Sim::of(world))
    }

    /// The selector of a `Poll` that a task of a simulated host creates; `None` outside of a world.
    pub(crate) fn of_task() -> Option<Selector> {
        Current::of_poll().map(|current| Selector::of_world(current.world()))
    }

    /// The simulation, if it is one.
    pub(crate) fn sim(&self) -> Option<&Sim> {
        match self {
            Selector::Sim(sim) => Some(sim),
            _ => None,
        }
    }
}

impl Backend {
    /// The backends that this target has, the default one of the target first.
    #[must_use]
    pub fn available() -> &'static [Backend] {
        // The order of the table is the order of preference, so what is present is filtered, not sorted.
        const PRESENT: ([Backend; Backend::ALL.len()], usize) = {
            let mut list = [Backend::ALL[0]; Backend::ALL.len()];
            let (mut found, mut next) = (0, 0);
            while next < Backend::ALL.len() {
                if Backend::ALL[next].is_present() {
                    list[found] = Backend::ALL[next];
                    found += 1;
                }
                next += 1;
            }
            (list, found)
        };
        static LIST: [Backend; Backend::ALL.len()] = PRESENT.0;
        &LIST[..PRESENT.1]
    }

    /// The backend of [`Poll::new`](crate::Poll::new).
    pub(crate) fn chosen() -> io::Result<Backend> {
        #[cfg(feature = "backends")]
        if let Some(backend) = Backend::of_environment()? {
            return Ok(backend);
        }
        Ok(Backend::default())
    }

    #[cfg(feature = "backends")]
    fn of_environment() -> io::Result<Option<Backend>> {
        static VARIABLE: Variable = Variable::new("WAKEFUL_BACKEND");
        let wanted = || format!("the name of a backend; available here: {}", Names(Backend::available()));
        VARIABLE.parse(|name| name.parse().ok(), wanted)
    }
}

#[cold]
fn not_available(backend: Backend) -> io::Error {
    let text = match backend {
        Backend::Sim => "a simulated `Poll` is made by `Sim::new_poll`, with the feature `sim`".to_owned(),
        _ => format!("{backend} is not available here; available: {}", Names(Backend::available())),
    };
    io::Error::new(io::ErrorKind::Unsupported, text)
}

impl Default for Backend {
    /// The best that this target has; `posix_poll` if built with `--cfg mio_unsupported_force_poll_poll`.
    fn default() -> Backend {
        if cfg!(mio_unsupported_force_poll_poll) && Backend::PosixPoll.is_present() {
            Backend::PosixPoll
        } else {
            Backend::available()[0]
        }
    }
}

/// Shows the kernel's flags by their names, which only the backends know.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct RawFlags(u8, u32);

        impl fmt::Debug for RawFlags {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match Backend::ALL.get(usize::from(self.0)) {
                    Some(backend) => backend.describe(self.1, f),
                    None => f.write_str("none"),
                }
            }
        }

        let (origin, raw) = self.raw();
        f.debug_struct("Event")
            .field("token", &self.token())
            .field("readiness", &self.readiness())
            .field("kernel", &RawFlags(origin, raw))
            .finish()
    }
}

/// The origin of an event that no kernel made: a wake.
pub(crate) const NO_KERNEL: u8 = u8::MAX;

/// Priority data exists where the kernel's `EPOLLPRI`, `POLLPRI` or `EVFILT_EXCEPT` can be asked for.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "openbsd"
))]
impl Interest {
    /// Reports priority data: TCP's out-of-band byte, on Linux also a change of a sysfs file. Linux, Android, Apple,
    /// DragonFly BSD and OpenBSD.
    pub const PRIORITY: Interest = Interest::PRIORITY_DATA;
}

/// Asynchronous file I/O is reported by the kqueues that know `EVFILT_AIO`.
#[cfg(any(target_vendor = "apple", target_os = "dragonfly", target_os = "freebsd"))]
impl Interest {
    /// Reports completed asynchronous file I/O (POSIX AIO). Apple, DragonFly BSD and FreeBSD.
    pub const AIO: Interest = Interest::AIO_COMPLETION;
}

/// `EVFILT_LIO` is FreeBSD's.
#[cfg(target_os = "freebsd")]
impl Interest {
    /// Reports a completed list of asynchronous file I/O (`lio_listio`). FreeBSD.
    pub const LIO: Interest = Interest::LIO_COMPLETION;
}
