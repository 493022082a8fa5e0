//! The backends by name: the one table of them, from which all else that lists them is made.

use std::fmt;
use std::str::FromStr;

/// Calls `$then!` with the table: each backend with its documentation, its module and its name, in the order in which
/// the first one present becomes the default.
macro_rules! for_each_backend {
    ($then:ident) => {
        $then! {
            /// `epoll`: Linux, Android, illumos, Redox. Edge-triggered by the kernel.
            Epoll(epoll, "epoll"),
            /// `kqueue`: macOS and its relatives, FreeBSD, NetBSD, OpenBSD, DragonFly BSD. Edge-triggered by the
            /// kernel.
            Kqueue(kqueue, "kqueue"),
            /// Event ports: Solaris, and illumos beside its epoll. One-shot, with an edge-triggered face.
            EventPorts(event_ports, "event_ports"),
            /// `poll(2)`: every Unix, Hermit, and WASI's second preview. Its cost grows with the number of registered
            /// sources, ready or not.
            PosixPoll(last_resort, "posix_poll"),
            /// AFD polls on an I/O completion port: Windows. The kernel forgets what it was asked once it has answered.
            Iocp(iocp, "iocp"),
            /// `poll_oneoff`: WASI's first preview. Its cost grows like that of `poll(2)`.
            Wasi(wasi, "wasi"),
            /// No kernel: a `Poll` of the feature `sim` (module `sim`), whose sources and clock are simulated. It is
            /// made by `Sim::new_poll`, and isn't among those that are [available](Backend::available) for sockets.
            Sim(sim, "sim"),
        }
    };
}
pub(super) use for_each_backend;

macro_rules! names {
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

            pub(super) const ALL: &'static [Backend] = &[$(Backend::$Name,)*];
        }
    };
}

for_each_backend!(names);

/// Names of backends in a sentence.
pub(super) struct Names(pub(super) &'static [Backend]);

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
