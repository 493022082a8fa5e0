//! How readiness is got from a kernel: one folder for each way, one contract, one choice.

mod absent;
#[cfg(not(windows))]
mod ask;
#[cfg(all(unix, any(test, not(target_os = "linux"))))] // Linux has none, but runs its tests
#[allow(dead_code)] // its tests run where no event port is
mod associations;
#[cfg(windows)]
mod completions;
#[cfg(not(windows))]
mod fd_map;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(dead_code))]
pub mod fuzzing;
// Pure: its tests run where no kqueue is. But Linux, where most builds are made, compiles it for nothing else.
#[cfg(any(test, fuzzing, wakeful_libkqueue, not(target_os = "linux")))]
#[allow(dead_code)]
mod knotes;
#[cfg(not(windows))]
mod listed;
#[cfg(not(windows))]
mod registrations;
mod select;
mod slab;
#[cfg(not(windows))]
mod table;
mod watch;

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "emscripten",
    target_os = "illumos",
    target_os = "redox"
))]
mod epoll;
#[cfg(any(target_os = "illumos", target_os = "solaris"))]
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
#[cfg(any(unix, target_os = "hermit", all(target_os = "wasi", target_env = "p2")))]
mod posix_poll;
#[cfg(feature = "sim")]
mod sim;
#[cfg(all(target_os = "wasi", not(target_env = "p2")))]
mod wasi;

#[cfg(windows)]
#[cfg_attr(not(feature = "os-ext"), allow(unused_imports))]
pub(crate) use self::completions::{Completions, RaisedKey};
pub(crate) use self::select::Select;
#[cfg(feature = "sim")]
pub use self::sim::{Address, Faults};
#[cfg(feature = "sim")]
pub(crate) use self::sim::{Id as SimId, Sim, World};
pub(crate) use self::watch::{Blocked, Tracking, WatchKey};

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::str::FromStr;
#[cfg(windows)]
use std::sync::Arc;
use std::time::{Duration, Instant};

#[allow(unused_imports)] // a target that has every backend needs no stand-in
use self::absent::*;
use crate::os::RawIo;
use crate::readiness::{Event, Events, Interest, Token};

/// Priority data exists where the kernel's `EPOLLPRI`, `POLLPRI` or `EVFILT_EXCEPT` can be asked for.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "openbsd"
))]
impl Interest {
    /// Tell when priority data waits: TCP's out-of-band byte, on Linux also a change of a sysfs file. Linux, Android,
    /// Apple, DragonFly BSD and OpenBSD.
    pub const PRIORITY: Interest = Interest::PRIORITY_DATA;
}

/// Asynchronous file I/O is reported by the kqueues that know `EVFILT_AIO`.
#[cfg(any(target_vendor = "apple", target_os = "dragonfly", target_os = "freebsd"))]
impl Interest {
    /// Tell when asynchronous file I/O (POSIX AIO) has completed. Apple, DragonFly BSD and FreeBSD.
    pub const AIO: Interest = Interest::AIO_COMPLETION;
}

/// `EVFILT_LIO` is FreeBSD's.
#[cfg(target_os = "freebsd")]
impl Interest {
    /// Tell when a list of asynchronous file I/O (`lio_listio`) has completed. FreeBSD.
    pub const LIO: Interest = Interest::LIO_COMPLETION;
}

/// Why a simulated `Poll` refuses a source.
#[cfg(any(feature = "sim", windows))]
const ONLY_SIMULATED: &str = "a simulated `Poll` registers only sources of its own `Sim`";

/// The table of backends, in the order in which the first present one becomes the default.
macro_rules! selectors {
    ($($(#[$doc:meta])* $Name:ident($module:ident, $text:literal),)*) => {
        /// A way to get readiness from a kernel. One program may use several at the same time.
        ///
        /// [`Poll::new`](crate::Poll::new) takes [`Backend::default`];
        /// [`Poll::with_backend`](crate::Poll::with_backend) takes any that is [available](Backend::available).
        ///
        /// ```
        /// use wakeful::{Backend, Poll};
        ///
        /// # fn main() -> std::io::Result<()> {
        /// for &backend in Backend::available() {
        ///     let poll = Poll::with_backend(backend)?;
        ///     assert_eq!(poll.backend(), backend);
        /// }
        /// assert_eq!("posix_poll".parse(), Ok(Backend::PosixPoll));
        /// # Ok(())
        /// # }
        /// ```
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Backend {
            $($(#[$doc])* $Name,)*
        }

        impl Backend {
            /// The name by which [`FromStr`] and the environment variable `WAKEFUL_BACKEND` know it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Backend::$Name => $text,)*
                }
            }

            const ALL: &'static [Backend] = &[$(Backend::$Name,)*];

            const fn is_present(self) -> bool {
                match self {
                    $(Backend::$Name => <$module::$Name as Select>::PRESENT,)*
                }
            }

            fn describe(self, raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Backend::$Name => <$module::$Name as Select>::describe(raw, f),)*
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
                    $(Backend::$Name => <$module::$Name as Select>::new().map(Selector::$Name),)*
                }
            }

            pub(crate) fn backend(&self) -> Backend {
                match self {
                    $(Selector::$Name(_) => Backend::$Name,)*
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

            /// For who doesn't mind a return.
            #[inline(never)]
            pub(crate) fn wait_apart(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
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
                tracking: Tracking,
                token: Token,
                interest: Interest,
            ) -> io::Result<Option<WatchKey>> {
                match self {
                    $(Selector::$Name(selector) => selector.register(io, tracking, token, interest),)*
                }
            }

            #[inline]
            pub(crate) fn reregister(
                &self,
                io: RawIo,
                key: Option<WatchKey>,
                token: Token,
                interest: Interest,
            ) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.reregister(io, key, token, interest),)*
                }
            }

            #[inline]
            pub(crate) fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.deregister(io, key),)*
                }
            }

            pub(crate) fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()> {
                match self {
                    $(Selector::$Name(selector) => selector.rearm(key, blocked),)*
                }
            }

            pub(crate) fn abandon(&self, key: WatchKey) {
                match self {
                    $(Selector::$Name(selector) => selector.abandon(key),)*
                }
            }

            pub(crate) fn doubt(&self, key: WatchKey) {
                match self {
                    $(Selector::$Name(selector) => selector.doubt(key),)*
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

            #[cfg(windows)]
            #[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
            pub(crate) fn completions(&self) -> io::Result<&Arc<Completions>> {
                let completions = match self {
                    $(Selector::$Name(selector) => selector.completions(),)*
                };
                completions.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, ONLY_SIMULATED))
            }
        }
    };
}

selectors! {
    /// `epoll`: Linux, Android, illumos, Redox. Edge-triggered by the kernel.
    Epoll(epoll, "epoll"),
    /// `kqueue`: macOS and its relatives, FreeBSD, NetBSD, OpenBSD, DragonFly BSD. Edge-triggered by the kernel.
    Kqueue(kqueue, "kqueue"),
    /// Event ports: Solaris, and illumos beside its epoll. One-shot, with an edge-triggered face.
    EventPorts(event_ports, "event_ports"),
    /// `poll(2)`: every Unix, Hermit, and WASI's second preview. Its cost grows with the number of registered sources,
    /// ready or not.
    PosixPoll(posix_poll, "posix_poll"),
    /// AFD polls on an I/O completion port: Windows. The kernel forgets what it was asked once it has answered.
    Iocp(iocp, "iocp"),
    /// `poll_oneoff`: WASI's first preview. Its cost grows like that of `poll(2)`.
    Wasi(wasi, "wasi"),
    /// No kernel: a `Poll` of the feature `sim` (module `sim`), whose sources and clock are simulated. It is made by
    /// `Sim::poll`, and isn't among those that are [available](Backend::available) for sockets.
    Sim(sim, "sim"),
}

#[cfg(feature = "sim")]
impl Selector {
    pub(crate) fn of_world(world: &std::sync::Arc<World>) -> Selector {
        Selector::Sim(Sim::of(world))
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

    /// The backend that `WAKEFUL_BACKEND` names, else the build's default.
    pub(crate) fn chosen() -> io::Result<Backend> {
        let parse = |name: &str| name.parse().ok();
        let wanted = || format!("the name of a backend; available here: {}", Names(Backend::available()));
        Ok(from_environment(BACKEND_VARIABLE, wanted, parse)?.unwrap_or_default())
    }
}

/// Names of backends in a sentence.
struct Names(&'static [Backend]);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for backend in self.0 {
            write!(f, "{separator}{backend}")?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cold]
fn not_available(backend: Backend) -> io::Error {
    let text = match backend {
        Backend::Sim => "a simulated `Poll` is made by `Sim::poll`, with the feature `sim`".to_owned(),
        _ => format!("{backend} is not available here; available: {}", Names(Backend::available())),
    };
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Returns what an environment variable says, if anything. An empty value counts as unset.
pub(crate) fn from_environment<T>(
    variable: &str,
    wanted: impl FnOnce() -> String,
    parse: impl FnOnce(&str) -> Option<T>,
) -> io::Result<Option<T>> {
    let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.to_str().and_then(parse) {
        Some(value) => Ok(Some(value)),
        None => Err(is_not(variable, &text, &wanted())),
    }
}

#[cold]
fn is_not(variable: &str, text: &OsStr, wanted: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{variable}={} is not {wanted}", text.to_string_lossy()),
    )
}

/// Chooses the backend of [`Poll::new`](crate::Poll::new) without rebuilding.
const BACKEND_VARIABLE: &str = "WAKEFUL_BACKEND";

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

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Backend, UnknownBackend> {
        Backend::ALL.iter().copied().find(|backend| backend.name() == name).ok_or(UnknownBackend(()))
    }
}

/// A name that no [`Backend`] has.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownBackend(());

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the name of a backend; the names are: {}", Names(Backend::ALL))
    }
}

impl std::error::Error for UnknownBackend {}

/// Shows the kernel's flags by their names, which only the backends know.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Kernel(u8, u32);

        impl fmt::Debug for Kernel {
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
            .field("kernel", &Kernel(origin, raw))
            .finish()
    }
}

/// The origin of an event that no kernel made: a wake.
pub(crate) const NO_KERNEL: u8 = u8::MAX;
