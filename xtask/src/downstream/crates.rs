//! The published crates whose own tests are run, in one table.

/// A crate that stands on mio and whose package holds its tests, or a part of them.
pub struct Published {
    pub name: &'static str,
    pub version: &'static str,
    pub features: &'static [&'static str],
    /// The files of tests/ that wait for I/O: names, or the beginning of names before a `*`. What doesn't wait for I/O
    /// finds little in a readiness library, and with it the build alone takes long.
    pub io_tests: &'static [&'static str],
    /// Programs that its tests start, and fail without: each is also the name of its package.
    pub programs: &'static [&'static str],
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
        ..plain("tokio", "1.54.1")
    },
    plain("actix-server", "2.10.0"),
    plain("notify", "8.2.1"),
    // Not `use-dev-tty`, which waits without mio.
    Published { features: &["event-stream"], ..plain("crossterm", "0.29.0") },
    Published { features: &["mio_socket"], ..plain("netlink-sys", "0.9.0") },
    // The newest whose tests compile: those of 0.3.0 need a crate of its repository that isn't published.
    Published { features: &["support-v1_0"], ..plain("signal-hook-mio", "0.2.5") },
    Published { programs: &["socat"], ..plain("mio-serial", "5.0.7") },
    plain("mio-pidfd", "0.4.0"),
    // Its package leaves the folder tests out. Few of the unit tests use a socket.
    Published { features: &["full"], ..plain("hyper", "1.12.0") },
    // Its package leaves the folder tests out. The one unit test is that types have traits.
    plain("tokio-tungstenite", "0.30.0"),
    // Its tests block, without mio: they show that the machine can do what quinn, which waits with tokio, asks of it.
    plain("quinn-udp", "0.6.3"),
    // Its TLS is ring's by default.
    plain("quinn", "0.11.12"),
];

/// A crate that is tested with its default features and needs nothing.
const fn plain(name: &'static str, version: &'static str) -> Published {
    Published { name, version, features: &[], io_tests: &[], programs: &[] }
}

impl Published {
    /// A name for its folder in the cache.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    pub fn waits_for_io(&self, test: &str) -> bool {
        self.io_tests.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => test.starts_with(beginning),
            None => test == *pattern,
        })
    }
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
