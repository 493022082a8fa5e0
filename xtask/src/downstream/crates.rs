//! The published crates whose own tests are run, in one table.

/// A package that crates stand on, and that one of this repository replaces in a copy of such a crate.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// Also the name of ours, and of its folder in compat.
    pub name: &'static str,
    /// The version that results are compared with.
    pub real: &'static str,
}

const MIO: Replaced = Replaced { name: "mio", real: "1.2.5" };
const POLLING: Replaced = Replaced { name: "polling", real: "3.11.0" };

/// A crate whose package holds its tests, or a part of them.
pub struct Published {
    pub name: &'static str,
    pub version: &'static str,
    pub stands_on: Replaced,
    pub features: &'static [&'static str],
    /// The files of tests/ that wait for I/O: names, or the beginning of names before a `*`. What doesn't wait for I/O
    /// finds little in a readiness library, and with it the build alone takes long.
    pub io_tests: &'static [&'static str],
    /// More files of tests/ that are worth a run in a world: those that wait for time.
    pub world_tests: &'static [&'static str],
    /// Whether the examples in its documentation are run as well.
    pub examples: bool,
    /// Programs that its tests start, and fail without: each is also the name of its package.
    pub programs: &'static [&'static str],
    /// Whether its tests need a D-Bus session, which they get for themselves.
    pub needs_bus: bool,
    /// Files of tests/ that don't compile, since the package leaves out what they need.
    pub incomplete: &'static [&'static str],
    /// Test executables that have an epoll descriptor with any backend: that of a tokio beside, on the real mio.
    pub epoll_beside: &'static [&'static str],
}

pub const ALL: &[Published] = &[
    Published {
        features: &["full", "test-util"],
        io_tests: &[
            "io_async_fd",
            "io_copy_bidirectional",
            "io_driver*",
            "io_panic",
            "io_poll_aio",
            "net_*",
            "no_rt",
            "process_*",
            "rt_busy_tick",
            "rt_common*",
            "rt_handle_block_on",
            "rt_shutdown_err",
            "rt_threaded",
            "signal_*",
            "tcp_*",
            "udp",
            "uds_*",
            "unix_shutdown",
        ],
        world_tests: &["rt_*", "task_abort", "time_*"],
        ..on_mio("tokio", "1.54.1")
    },
    on_mio("actix-server", "2.10.0"),
    on_mio("notify", "8.2.1"),
    // Not `use-dev-tty`, which waits without mio.
    Published { features: &["event-stream"], ..on_mio("crossterm", "0.29.0") },
    Published { features: &["mio_socket"], ..on_mio("netlink-sys", "0.9.0") },
    // The newest whose tests compile: those of 0.3.0 need a crate of its repository that isn't published.
    Published { features: &["support-v1_0"], ..on_mio("signal-hook-mio", "0.2.5") },
    Published { programs: &["socat"], ..on_mio("mio-serial", "5.0.7") },
    on_mio("mio-pidfd", "0.4.0"),
    // Its package leaves the folder tests out. Few of the unit tests use a socket.
    Published { features: &["full"], ..on_mio("hyper", "1.12.0") },
    // Its package leaves the folder tests out. The one unit test is that types have traits.
    on_mio("tokio-tungstenite", "0.30.0"),
    // Its tests block, without mio: they show that the machine can do what quinn, which waits with tokio, asks of it.
    on_mio("quinn-udp", "0.6.3"),
    // All but the unit tests, of which it has none.
    Published { io_tests: &["*"], ..on_mio("mini-redis", "0.4.1") },
    // Its TLS is ring's by default.
    on_mio("quinn", "0.11.12"),
    // All but the examples, of which each is a build.
    Published { io_tests: &["*"], ..on_polling("async-io", "2.6.0") },
    on_polling("async-process", "2.5.0"),
    on_polling("async-signal", "0.2.14"),
    // Its package has no tests but examples, of which most are only compiled.
    on_polling("async-net", "2.0.0"),
    // Not `nightly_coverage`, which a stable compiler refuses.
    Published {
        features: &["block_on", "executor", "futures-io", "signals", "stream"],
        ..on_polling("calloop", "0.14.5")
    },
    // Its package has no tests but examples. One connects to a public host.
    on_polling("smol", "2.0.2"),
    // The newest that waits with async-io: later versions have a runtime of their own.
    Published {
        features: &["p2p"],
        // They include a book that the package leaves out.
        examples: false,
        programs: &["dbus-daemon"],
        needs_bus: true,
        incomplete: &["e2e"],
        epoll_beside: &["basic", "lib"],
        ..on_polling("zbus", "5.19.0")
    },
    // None of its tests waits for I/O: they show that its event loop compiles.
    on_polling("alacritty_terminal", "0.26.0"),
];

/// A crate that is tested with its default features and needs nothing. Examples of crates on mio are left out.
const fn on_mio(name: &'static str, version: &'static str) -> Published {
    Published {
        name,
        version,
        stands_on: MIO,
        features: &[],
        io_tests: &[],
        world_tests: &[],
        examples: false,
        programs: &[],
        needs_bus: false,
        incomplete: &[],
        epoll_beside: &[],
    }
}

const fn on_polling(name: &'static str, version: &'static str) -> Published {
    Published { stands_on: POLLING, examples: true, ..on_mio(name, version) }
}

impl Published {
    /// A name for its folder in the cache.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    pub fn waits_for_io(&self, test: &str) -> bool {
        is_among(test, self.io_tests)
    }

    pub fn is_for_worlds(&self, test: &str) -> bool {
        is_among(test, self.io_tests) || is_among(test, self.world_tests)
    }
}

fn is_among(test: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => test.starts_with(beginning),
        None => test == *pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_tests_are_names_or_beginnings() {
        let tokio = ALL.iter().find(|published| published.name == "tokio").unwrap();
        assert!(tokio.waits_for_io("udp"));
        assert!(tokio.waits_for_io("tcp_accept"));
        assert!(!tokio.waits_for_io("udp_lite"));
        assert!(!tokio.waits_for_io("sync_mpsc"));
    }
}
