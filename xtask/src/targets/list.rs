//! The targets, and how each is proven. A new one is one line here.

use super::zig::Zig;
use crate::prelude::*;

pub struct Target {
    pub triple: &'static str,
    pub proof: Proof,
    /// Whether `--quick` has it too: one of each kind, with a standard library of rustup's if one has that.
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

/// How a Linux program for another machine is linked and run.
#[derive(Clone, Copy)]
pub enum Runner {
    /// A static program: rustup's standard library has all that it takes.
    Musl,
    /// glibc's, by the prefix of Debian's cross compiler, Debian's name for the machine, and qemu's. This machine runs
    /// it if there is none.
    Glibc(&'static str, &'static str, Option<&'static str>),
}

impl Runner {
    /// The linker, and what runs a program, with its arguments; none of both if this machine's do.
    pub fn programs(self) -> Option<(String, String)> {
        let Runner::Glibc(prefix, _, qemu) = self else { return None };
        let runner = match qemu {
            Some(qemu) => format!("qemu-{qemu}-static -L /usr/{prefix}"),
            None => format!("/usr/{prefix}/lib/ld-linux.so.2 --library-path /usr/{prefix}/lib"),
        };
        Some((format!("{prefix}-gcc"), runner))
    }

    /// Whether the package for worlds has the functions of this libc: glibc's, of 64-bit systems.
    pub fn has_worlds(self) -> bool {
        match self {
            Runner::Musl => false,
            Runner::Glibc(_, machine, _) => !["i386", "armhf"].contains(&machine),
        }
    }

    /// Installs what this machine lacks of Debian's packages.
    pub fn need(self) -> Result<()> {
        let Runner::Glibc(prefix, machine, qemu) = self else { return Ok(()) };
        let mut needs = vec![(format!("{prefix}-gcc"), format!("gcc-{prefix} libc6-dev-{machine}-cross"))];
        match qemu {
            Some(qemu) => needs.push((format!("qemu-{qemu}-static"), "qemu-user-static".to_owned())),
            None => {
                needs.push((format!("/usr/{prefix}/lib/ld-linux.so.2"), format!("libc6-dev-{machine}-cross")))
            }
        }
        needs.iter().try_for_each(|(program, packages)| {
            packages::need(&[(program, &packages.split(' ').collect::<Vec<_>>())])
        })
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

pub const TARGETS: &[Target] = &[
    // epoll
    run("x86_64-unknown-linux-musl", Runner::Musl).quick(),
    run("i686-unknown-linux-gnu", Runner::Glibc("i686-linux-gnu", "i386", None)).quick(),
    run("s390x-unknown-linux-gnu", Runner::Glibc("s390x-linux-gnu", "s390x", Some("s390x"))),
    run("aarch64-unknown-linux-gnu", Runner::Glibc("aarch64-linux-gnu", "arm64", Some("aarch64"))),
    run("riscv64gc-unknown-linux-gnu", Runner::Glibc("riscv64-linux-gnu", "riscv64", Some("riscv64"))),
    run("armv7-unknown-linux-gnueabihf", Runner::Glibc("arm-linux-gnueabihf", "armhf", Some("arm"))),
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
    checked("x86_64-unknown-haiku"),
    checked("x86_64-pc-cygwin"),
    checked("aarch64-unknown-nto-qnx710"),
    checked("armv7-sony-vita-newlibeabihf"),
    checked("riscv32imc-esp-espidf"),
    checked("i686-unknown-hurd-gnu"),
    checked("x86_64-unknown-fuchsia").quick(),
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
