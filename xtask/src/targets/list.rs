//! The targets, and how each is proven. A new one is one line here.

use super::zig::Zig;

pub struct Target {
    pub triple: &'static str,
    pub proof: Proof,
    /// Whether `--quick` has it too: one of each kind.
    pub quick: bool,
}

#[derive(Clone, Copy)]
pub enum Proof {
    /// Clippy finds nothing.
    Checked,
    /// And the tests and examples link.
    Linked(Zig),
    /// And the conformance suite runs.
    Run(Runner),
}

#[derive(Clone, Copy)]
pub enum Linker {
    Gcc(&'static str),
    /// zig, by its name for the target.
    Zig(&'static str),
}

/// How a Linux program for another machine is linked and run.
#[derive(Clone, Copy)]
pub struct Runner {
    pub linker: Linker,
    /// What runs it; empty if this machine does.
    pub runner: &'static str,
    /// Further flags of the compiler.
    pub flags: &'static str,
    /// Debian's packages.
    pub packages: &'static str,
}

impl Runner {
    /// Whether this machine has what it needs.
    pub fn is_there(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).exists());
        let linker = match self.linker {
            Linker::Gcc(name) => has(name),
            Linker::Zig(_) => true,
        };
        linker && self.runner.split(' ').next().map_or(true, |runner| runner.is_empty() || has(runner))
    }
}

const fn checked(triple: &'static str) -> Target {
    Target { triple, proof: Proof::Checked, quick: false }
}

const fn linked(triple: &'static str, zig: Zig) -> Target {
    Target { triple, proof: Proof::Linked(zig), quick: false }
}

const fn run(triple: &'static str, runner: Runner) -> Target {
    Target { triple, proof: Proof::Run(runner), quick: false }
}

impl Target {
    const fn quick(self) -> Target {
        Target { quick: true, ..self }
    }
}

/// A static program, linked by zig: it has the C library's start files, which aren't there as rustc's own.
pub const MUSL: Runner = Runner {
    linker: Linker::Zig("x86_64-linux-musl"),
    runner: "",
    flags: "-Clink-self-contained=no",
    packages: "",
};

pub const TARGETS: &[Target] = &[
    // epoll
    run("x86_64-unknown-linux-musl", MUSL).quick(),
    run(
        "i686-unknown-linux-gnu",
        glibc(
            "i686-linux-gnu-gcc",
            "/usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib",
            "gcc-i686-linux-gnu libc6-dev-i386-cross",
        ),
    )
    .quick(),
    run(
        "s390x-unknown-linux-gnu",
        glibc(
            "s390x-linux-gnu-gcc",
            "qemu-s390x-static -L /usr/s390x-linux-gnu",
            "gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user-static",
        ),
    ),
    run(
        "aarch64-unknown-linux-gnu",
        glibc(
            "aarch64-linux-gnu-gcc",
            "qemu-aarch64-static -L /usr/aarch64-linux-gnu",
            "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static",
        ),
    ),
    run(
        "riscv64gc-unknown-linux-gnu",
        glibc(
            "riscv64-linux-gnu-gcc",
            "qemu-riscv64-static -L /usr/riscv64-linux-gnu",
            "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user-static",
        ),
    ),
    run(
        "armv7-unknown-linux-gnueabihf",
        glibc(
            "arm-linux-gnueabihf-gcc",
            "qemu-arm-static -L /usr/arm-linux-gnueabihf",
            "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user-static",
        ),
    ),
    checked("aarch64-linux-android"),
    checked("wasm32-unknown-emscripten"),
    checked("x86_64-unknown-illumos").quick(),
    checked("x86_64-unknown-redox"),
    // kqueue
    linked("x86_64-apple-darwin", Zig::Zigbuild).quick(),
    linked("x86_64-unknown-freebsd", Zig::Zigbuild).quick(),
    linked("x86_64-unknown-netbsd", Zig::Plain("x86_64-netbsd-none")),
    linked("x86_64-unknown-openbsd", Zig::Zigbuild),
    checked("x86_64-unknown-dragonfly"),
    checked("aarch64-apple-darwin"),
    checked("aarch64-apple-ios"),
    checked("aarch64-apple-tvos"),
    checked("aarch64-apple-visionos"),
    checked("aarch64-apple-watchos"),
    // event ports
    checked("x86_64-pc-solaris").quick(),
    // poll(2)
    checked("x86_64-unknown-haiku").quick(),
    checked("x86_64-pc-cygwin"),
    checked("aarch64-unknown-nto-qnx710"),
    checked("armv7-sony-vita-newlibeabihf"),
    checked("riscv32imc-esp-espidf"),
    checked("i686-unknown-hurd-gnu"),
    checked("x86_64-unknown-fuchsia"),
    checked("x86_64-unknown-hermit"),
    checked("aarch64-unknown-nuttx"),
    checked("powerpc64-ibm-aix"),
    checked("armv6k-nintendo-3ds"),
    // Windows
    checked("x86_64-pc-windows-gnu"),
    checked("x86_64-pc-windows-msvc"),
    checked("i686-pc-windows-gnu"),
    checked("aarch64-pc-windows-msvc"),
    // WASI
    checked("wasm32-wasip1"),
    checked("wasm32-wasip2"),
];

const fn glibc(linker: &'static str, runner: &'static str, packages: &'static str) -> Runner {
    Runner { linker: Linker::Gcc(linker), runner, flags: "", packages }
}
