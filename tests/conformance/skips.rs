//! The complete list of tests that a kernel makes impossible. `PLATFORMS.md` gives the same reasons.
//!
//! A test that can't hold on a backend calls `return skip(backend, "name")`, which fails unless the pair is listed. A
//! listed pair that no test uses fails too.

use std::cell::RefCell;
use std::io::Write;

use wakeful::Backend;

pub struct Allowed {
    pub backend: Backend,
    pub name: &'static str,
    pub reason: &'static str,
    /// The test that skips.
    pub test: fn(Backend),
}

#[cfg(unix)]
pub const ALLOWED: &[Allowed] = &[
    Allowed {
        backend: Backend::PosixPoll,
        name: "nested_poll_io",
        reason: "poll(2) has no descriptor for the whole list: the poll's own is readable for wakes alone",
        test: crate::unix_nesting::it_is_readable_when_a_source_is_ready,
    },
    Allowed {
        backend: Backend::PosixPoll,
        name: "nested_poll_levels",
        reason: "poll(2) has no descriptor for the whole list: the poll's own is readable for wakes alone",
        test: crate::unix_nesting::level_triggered_sources_within_a_poll,
    },
    Allowed {
        backend: Backend::Epoll,
        name: "direction_of_a_lone_error",
        reason: "epoll reports an error without the interest: it counts for both directions",
        test: crate::udp::an_error_in_the_asked_direction,
    },
    Allowed {
        backend: Backend::Kqueue,
        name: "regular_files",
        reason: "a kqueue can watch regular files and directories, and does",
        test: crate::unix_source_fd::files_and_directories,
    },
];
#[cfg(all(target_os = "wasi", target_env = "p2"))]
pub const ALLOWED: &[Allowed] = &[
    Allowed {
        backend: Backend::PosixPoll,
        name: "peek",
        reason: "WASI's libc can't look at what has arrived without taking it",
        test: crate::edges::a_peek_that_blocks_arms,
    },
    Allowed {
        backend: Backend::PosixPoll,
        name: "error_of_a_datagram",
        reason: "an error that the network returns is reported as readable, and only a receive finds it",
        test: crate::udp::a_refused_datagram_is_an_error,
    },
];
#[cfg(all(target_os = "wasi", not(target_env = "p2")))]
pub const ALLOWED: &[Allowed] = &[Allowed {
    backend: Backend::Wasi,
    name: "making_sockets",
    reason: "WASI's first preview can't create sockets: it has those that the runtime opens for it",
    test: crate::udp::a_connected_pair,
}];
#[cfg(windows)]
pub const ALLOWED: &[Allowed] = {
    const REASON: &str =
        "Winsock reports a refused datagram to the next receive, as a reset, and in no other way";
    let name = "refused_datagram";
    &[
        Allowed {
            backend: Backend::Iocp,
            name,
            reason: REASON,
            test: crate::udp::a_refused_datagram_is_an_error,
        },
        Allowed {
            backend: Backend::Iocp,
            name,
            reason: REASON,
            test: crate::udp::after_an_error_the_next_arrival_is_an_event,
        },
        Allowed {
            backend: Backend::Iocp,
            name,
            reason: REASON,
            test: crate::udp::an_error_does_not_silence_the_reader,
        },
    ]
};
#[cfg(not(any(unix, windows, target_os = "wasi")))]
pub const ALLOWED: &[Allowed] = &[];

/// Skips that only some machines need, and whether this one does, by a direct call to the system.
type Sometimes = (Allowed, fn() -> bool);

#[cfg(windows)]
pub const SOMETIMES: &[Sometimes] = &[
    (
        Allowed {
            backend: Backend::Iocp,
            name: "unix_domain_sockets",
            reason: "Windows before 10 1803 has none, nor has Wine 8; all answer `Unsupported`",
            test: crate::windows::unix_domain_sockets,
        },
        crate::windows::lacks_unix_sockets,
    ),
    (
        Allowed {
            backend: Backend::Iocp,
            name: "high_resolution_timer",
            reason: "Wine 8 has no wait completion packets: timeouts are whole milliseconds",
            test: crate::windows::short_timeouts_between_wakes,
        },
        crate::windows::lacks_wait_completion_packets,
    ),
    (
        Allowed {
            backend: Backend::Iocp,
            name: "first_pipe_instance",
            reason: "Wine 8 makes a second pipe though it was to be the first of its name",
            test: crate::windows::the_name_of_a_pipe_is_taken,
        },
        crate::windows::lacks_first_instances,
    ),
    (
        Allowed {
            backend: Backend::Iocp,
            name: "address_of_a_closed_listener",
            reason: "Wine keeps a socket until the thread that waits for it has seen the end of that wait",
            test: crate::threads::a_closed_listener_frees_its_address_at_once,
        },
        crate::windows::holds_closed_sockets,
    ),
];
#[cfg(any(target_os = "linux", target_os = "android"))]
pub const SOMETIMES: &[Sometimes] = {
    const REASON: &str = "Linux before 4.14 has no zero-copy transfers, nor has the Linux that qemu plays";
    let name = "zero_copy";
    let test = crate::close_states::zero_copy::a_completion_closes_nothing;
    let is_needed = crate::close_states::zero_copy::is_lacking;
    &[
        (Allowed { backend: Backend::Epoll, name, reason: REASON, test }, is_needed),
        (Allowed { backend: Backend::PosixPoll, name, reason: REASON, test }, is_needed),
    ]
};
#[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
pub const SOMETIMES: &[Sometimes] = &[];

/// The list for this machine.
fn allowed_here() -> impl Iterator<Item = &'static Allowed> {
    let sometimes = SOMETIMES.iter().filter(|(_, is_needed)| is_needed()).map(|(allowed, _)| allowed);
    ALLOWED.iter().chain(sometimes)
}

/// Returns whether the backend's platform can create sockets; if not, counts a skip of the calling test.
pub fn makes_sockets(backend: Backend) -> bool {
    let makes = backend != Backend::Wasi;
    if !makes {
        skip(backend, "making_sockets");
    }
    makes
}

thread_local! {
    static SKIPPED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// Counts a test that this backend can't pass; it must be on the list.
#[track_caller]
pub fn skip(backend: Backend, name: &'static str) {
    let allowed = allowed_here().find(|allowed| allowed.backend == backend && allowed.name == name);
    let allowed = allowed.unwrap_or_else(|| panic!("{backend} may not skip {name}"));
    SKIPPED.with(|skipped| skipped.borrow_mut().push(name));
    println!("skipped on {backend}: {name}: {}", allowed.reason);
}

#[test]
fn every_allowed_skip_is_needed() {
    // Past the harness' capture: every log must show the skips.
    let mut log = std::io::stderr();
    let mut count = 0;
    for allowed in allowed_here() {
        if !Backend::available().contains(&allowed.backend) {
            continue;
        }
        SKIPPED.with(|skipped| skipped.borrow_mut().clear());
        (allowed.test)(allowed.backend);
        let skipped = SKIPPED.with(RefCell::take);
        assert_eq!(skipped, [allowed.name], "{} is on the list for {}", allowed.name, allowed.backend);
        let _ = writeln!(log, "skip: {}: {}: {}", allowed.backend, allowed.name, allowed.reason);
        count += 1;
    }
    let _ = writeln!(log, "skips: {count}");
}

/// The list in `for_each_backend!` and the library's are the same.
#[test]
fn every_backend_is_tested() {
    let mut tested = Vec::new();
    macro_rules! add {
        ($name:ident, $Backend:ident) => {
            assert_eq!(Backend::$Backend.name(), stringify!($name));
            tested.push(Backend::$Backend);
        };
    }
    for_each_backend!(add);
    assert_eq!(Backend::available(), tested);
}
