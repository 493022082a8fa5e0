//! The published crates whose own tests are run, in one table.

/// A crate that stands on mio and whose package holds its tests.
pub struct Published {
    pub name: &'static str,
    pub version: &'static str,
    pub features: &'static [&'static str],
    /// The files of tests/ that wait for I/O: names, or the beginning of names before a `*`. What doesn't wait for I/O
    /// finds little in a readiness library, and with it the build alone takes long.
    pub io_tests: &'static [&'static str],
    /// Its development dependencies use the crate itself, which must then be the copy that is tested.
    pub tests_itself: bool,
}

pub const ALL: &[Published] = &[
    Published {
        name: "tokio",
        version: "1.54.1",
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
        tests_itself: true,
    },
    Published { name: "actix-server", version: "2.10.0", features: &[], io_tests: &[], tests_itself: false },
    Published { name: "notify", version: "8.2.1", features: &[], io_tests: &[], tests_itself: false },
    Published {
        name: "crossterm",
        version: "0.29.0",
        // Not `use-dev-tty`, which waits without mio.
        features: &["event-stream"],
        io_tests: &[],
        tests_itself: false,
    },
    Published {
        name: "netlink-sys",
        version: "0.8.8",
        features: &["mio_socket"],
        io_tests: &[],
        tests_itself: false,
    },
];

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
