//! The contract, behaviour by behaviour, on every backend that the machine has.
//!
//! Each file of `conformance/` is one behaviour. A test is written once as a function that takes the backend, and
//! shows up once for each backend: `waker::a_wake_before_the_poll::posix_poll`. What a kernel makes impossible is
//! in the table of `conformance/skips.rs`, and nowhere else.
//!
//! With `WAKEFUL_CHAOS=SEED` each backend is shaken, and what the contract promises must hold all the same:
//! `conformance/beyond.rs` has the tests that rely on more.

/// The backends, one line each. `skips::every_backend_is_tested` fails if one is missing.
macro_rules! on_every_backend {
    ($($behaviour:ident),* $(,)?) => {$(
        mod $behaviour {
            use wakeful::Backend;

            fn run(backend: Backend) {
                if !crate::beyond::leaves_out(module_path!()) {
                    super::$behaviour(backend);
                }
            }

            #[cfg(any(target_os = "linux", target_os = "android", target_os = "illumos"))]
            #[test]
            fn epoll() {
                run(Backend::Epoll);
            }

            #[cfg(any(
                target_vendor = "apple",
                target_os = "freebsd",
                target_os = "netbsd",
                target_os = "openbsd",
                target_os = "dragonfly",
                wakeful_libkqueue
            ))]
            #[test]
            fn kqueue() {
                run(Backend::Kqueue);
            }

            #[cfg(any(target_os = "illumos", target_os = "solaris"))]
            #[test]
            fn event_ports() {
                run(Backend::EventPorts);
            }

            #[cfg(any(unix, all(target_os = "wasi", target_env = "p2")))]
            #[test]
            fn posix_poll() {
                run(Backend::PosixPoll);
            }

            #[cfg(all(target_os = "wasi", not(target_env = "p2")))]
            #[test]
            fn wasi() {
                run(Backend::Wasi);
            }

            #[cfg(windows)]
            #[test]
            fn iocp() {
                run(Backend::Iocp);
            }
        }
    )*};
}

#[path = "conformance/support.rs"]
mod support;

#[path = "conformance/beyond.rs"]
mod beyond;
#[path = "conformance/capacity.rs"]
mod capacity;
#[cfg(not(target_family = "wasm"))] // sockets there come from outside, or tell less: `PLATFORMS.md`
#[path = "conformance/close_states.rs"]
mod close_states;
#[path = "conformance/connecting.rs"]
mod connecting;
#[path = "conformance/deregistration.rs"]
mod deregistration;
#[path = "conformance/dropping.rs"]
mod dropping;
#[path = "conformance/edges.rs"]
mod edges;
#[path = "conformance/registration.rs"]
mod registration;
#[path = "conformance/short_reads.rs"]
mod short_reads;
#[path = "conformance/skips.rs"]
mod skips;
#[path = "conformance/spinning.rs"]
mod spinning;
#[path = "conformance/timeouts.rs"]
mod timeouts;
#[path = "conformance/tokens.rs"]
mod tokens;
#[path = "conformance/udp.rs"]
mod udp;
#[path = "conformance/waker.rs"]
mod waker;
#[path = "conformance/wrong_use.rs"]
mod wrong_use;

// What needs a second thread.
#[cfg(not(target_family = "wasm"))]
#[path = "conformance/threads.rs"]
mod threads;

// Where there is priority data: the list of `Interest::PRIORITY`.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "openbsd"
))]
#[path = "conformance/priority.rs"]
mod priority;

// What only Linux has.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "conformance/linux_descriptors.rs"]
mod linux_descriptors;
#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "conformance/linux_lasting_words.rs"]
mod linux_lasting_words;
#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "conformance/linux_terminals.rs"]
mod linux_terminals;
#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "conformance/linux_timer_slack.rs"]
mod linux_timer_slack;

// What only Unix has.
#[cfg(unix)]
#[path = "conformance/unix_nesting.rs"]
mod unix_nesting;
#[cfg(unix)]
#[path = "conformance/unix_pipes.rs"]
mod unix_pipes;
#[cfg(unix)]
#[path = "conformance/unix_signals.rs"]
mod unix_signals;
#[cfg(unix)]
#[path = "conformance/unix_source_fd.rs"]
mod unix_source_fd;
#[cfg(unix)]
#[path = "conformance/unix_streams.rs"]
mod unix_streams;

// What only Windows has.
#[cfg(windows)]
#[path = "conformance/windows.rs"]
mod windows;

// What only WASI has.
#[cfg(target_os = "wasi")]
#[path = "conformance/wasi.rs"]
mod wasi;
