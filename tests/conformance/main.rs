//! The contract, behaviour by behaviour, on every backend of the machine.
//!
//! Each file of `conformance/` is one behaviour. A test is a function that takes the backend, and runs once for each
//! backend: `waker::a_wake_before_the_poll::posix_poll`. Only the table of `conformance/skips.rs` excuses a backend.
//!
//! With `WAKEFUL_CHAOS=SEED` each backend runs under chaos, and the contract must hold all the same:
//! `conformance/beyond.rs` lists the tests that rely on more.

/// Calls `$then!` with each backend that this target has: the name of its tests, and its `Backend`.
/// `skips::every_backend_is_tested` fails if one is missing.
macro_rules! for_each_backend {
    ($then:ident) => {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "illumos"))]
        $then!(epoll, Epoll);
        #[cfg(any(
            target_vendor = "apple",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd",
            target_os = "dragonfly",
            wakeful_libkqueue
        ))]
        $then!(kqueue, Kqueue);
        #[cfg(any(target_os = "illumos", target_os = "solaris"))]
        $then!(event_ports, EventPorts);
        #[cfg(any(unix, all(target_os = "wasi", target_env = "p2")))]
        $then!(posix_poll, PosixPoll);
        #[cfg(windows)]
        $then!(iocp, Iocp);
        #[cfg(all(target_os = "wasi", not(target_env = "p2")))]
        $then!(wasi, Wasi);
    };
}

/// Makes a module of each behaviour, with one test for each backend.
macro_rules! on_every_backend {
    ($($behaviour:ident),* $(,)?) => {$(
        mod $behaviour {
            use wakeful::Backend;

            fn run(backend: Backend) {
                if !crate::beyond::leaves_out(module_path!()) {
                    super::$behaviour(backend);
                }
            }

            macro_rules! test {
                ($name:ident, $Backend:ident) => {
                    #[test]
                    fn $name() {
                        run(Backend::$Backend);
                    }
                };
            }
            for_each_backend!(test);
        }
    )*};
}

#[path = "../support/mod.rs"]
mod support;

mod beyond;
mod capacity;
#[cfg(not(target_family = "wasm"))] // sockets there come from outside, or report less: `PLATFORMS.md`
mod close_states;
mod connecting;
mod deregistration;
mod dropping;
mod edges;
mod modes;
mod registration;
mod short_reads;
mod skips;
mod spinning;
mod timeouts;
mod timers;
mod tokens;
mod udp;
mod waker;
mod wrong_use;

// The tests that need a second thread.
#[cfg(not(target_family = "wasm"))]
mod threads;

// The tests of priority data: the platforms of `Interest::PRIORITY`.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "openbsd"
))]
mod priority;

// The tests of Linux alone.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux_descriptors;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux_lasting_flags;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux_terminals;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux_timer_slack;

// The tests of Unix alone.
#[cfg(unix)]
mod unix_kernel_filters;
#[cfg(unix)]
mod unix_nesting;
#[cfg(unix)]
mod unix_pipes;
#[cfg(unix)]
mod unix_signals;
#[cfg(unix)]
mod unix_source_fd;
#[cfg(unix)]
mod unix_streams;

// The tests of Windows alone.
#[cfg(windows)]
mod windows;

// The tests of WASI alone.
#[cfg(target_os = "wasi")]
mod wasi;

/// The backends beside which a test runs its own.
fn backends() -> &'static [wakeful::Backend] {
    wakeful::Backend::available()
}
