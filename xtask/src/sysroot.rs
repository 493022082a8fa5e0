//! A toolchain with a standard library for any target: rustup has none for many, and Debian has compiler and library of
//! one version, so that the library can be built for whatever the compiler knows.
//!
//! Needs Debian's packages rustc-web, cargo-web, rust-web-src, rust-web-llvm and rust-web-clippy. They lie beside rustup's
//! and change nothing for its users.

use crate::prelude::*;
use std::ffi::OsStr;

const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "rust-web-clippy"];
const COMPILER: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const LIBRARY: &str = "/usr/lib/rustlib/src/rust/library";
const HOST: &str = "x86_64-unknown-linux-gnu";

/// What the library of Rust 1.96 has wrong for a target, so that it doesn't compile: the target, a file, what stands
/// there, and what is put in its place while the target's library is built.
const MENDS: &[(&str, &str, &str, &str)] = &[
    // libc calls these fields `st_atim` and so on.
    ("aix", "std/src/os/aix/fs.rs", "time.tv_", "tim.tv_"),
    ("aix", "std/src/sys/fs/unix.rs", "time.tv_", "tim.tv_"),
    // libc has `pollfd` with other integers than its flags.
    ("3ds", "std/src/sys/net/connection/socket/unix.rs", "libc::POLLOUT,", "libc::POLLOUT as _,"),
    (
        "3ds",
        "std/src/sys/net/connection/socket/unix.rs",
        "pollfd.revents &",
        "pollfd.revents as libc::c_short &",
    ),
    ("3ds", "std/src/sys/process/unix/common.rs", "= libc::POLLIN;", "= libc::POLLIN as _;"),
    // libc has no such constant; what follows takes -1 for "unknown".
    ("nuttx", "std/src/sys/net/hostname/unix.rs", "libc::sysconf(libc::_SC_HOST_NAME_MAX)", "-1"),
];

/// How much of a standard library is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Std {
    /// Its types, for check and clippy: no linker, no C.
    Types,
    /// All of it, to link programs.
    Code,
}

pub struct Toolchain {
    folder: PathBuf,
    /// The library's sources: a copy, since cargo writes a lock file beside them.
    sources: PathBuf,
    build: PathBuf,
}

impl Toolchain {
    /// The toolchain in the cache, which is made if it isn't there or if the compiler has changed.
    pub fn open() -> Result<Toolchain> {
        let is_there = || Path::new(COMPILER).exists() && Path::new(LIBRARY).exists();
        if !is_there() {
            packages::install(PACKAGES)?;
            if !is_there() {
                bail!("no compiler with sources of its library, though installed: {}", PACKAGES.join(" "));
            }
        }
        let version = capture(Command::new(COMPILER).arg("-vV"))?;
        let cache = workspace::cache("cross")?;
        let toolchain = Toolchain {
            folder: cache.join("toolchain"),
            sources: cache.join("library"),
            build: cache.join("build"),
        };
        let stamp = toolchain.folder.join("version");
        if fs::read_to_string(&stamp).ok().as_deref() != Some(&version) {
            for folder in [&toolchain.folder, &toolchain.sources, &toolchain.build] {
                workspace::fresh(folder)?;
            }
            // It is a copy, which must not go into a folder that is there.
            fs::remove_dir(&toolchain.sources)?;
            toolchain.make()?;
            fs::write(&stamp, version)?;
        }
        Ok(toolchain)
    }

    fn make(&self) -> Result<()> {
        let (bin, lib) = (self.folder.join("bin"), self.folder.join("lib/rustlib"));
        fs::create_dir_all(&bin)?;
        fs::create_dir_all(&lib)?;
        symlink(Path::new("/usr/lib/rustlib").join(HOST), lib.join(HOST))?;
        symlink("/usr/lib/rustlib/src", lib.join("src"))?;
        let folder = self.folder.display();
        for tool in ["rustc", "rustdoc"] {
            // The compiler looks for its libraries beside its own shared library, which stays where it is.
            script(&bin.join(tool), &format!("exec /usr/bin/{tool} --sysroot {folder} \"$@\""))?;
        }
        script(&bin.join("clippy-driver"), &format!("SYSROOT={folder} exec /usr/bin/clippy-driver \"$@\""))?;
        symlink(CARGO, bin.join("cargo"))?;
        if Path::new("/usr/bin/cargo-clippy").exists() {
            // It looks for its driver beside itself.
            fs::copy("/usr/bin/cargo-clippy", bin.join("cargo-clippy"))?;
        }

        capture(Command::new("cp").args(["-a", LIBRARY]).arg(&self.sources))?;
        // The shared library would need the target's linker.
        let manifest = self.sources.join("std/Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        fs::write(&manifest, text.replace(r#"["dylib", "rlib"]"#, r#"["rlib"]"#))?;
        Ok(())
    }

    /// Builds the standard library for `target` if it isn't there.
    pub fn prepare(&self, target: &str, std: Std) -> Result<()> {
        let home = self.folder.join("lib/rustlib").join(target).join("lib");
        if has(&home, "rlib") || (std == Std::Types && has(&home, "rmeta")) {
            return forget_stale(target, &home);
        }
        let (action, profile, kind) = match std {
            Std::Types => ("check", "debug", "rmeta"),
            Std::Code => ("build", "release", "rlib"),
        };
        println!("   the standard library of {target}");
        let mut features = String::from("panic-unwind");
        // Fuchsia's doesn't build without.
        if std == Std::Code || target.contains("fuchsia") {
            features += ",backtrace";
        }
        if target.contains("-none") || target.contains("hermit") || target.starts_with("wasm32-unknown") {
            features += ",compiler-builtins-mem";
        }
        let mut command = Command::new(CARGO);
        command.args([action, "--jobs", "2", "--features", &features, "--target", target]);
        command.arg("--manifest-path").arg(self.sources.join("sysroot/Cargo.toml"));
        command.arg("--target-dir").arg(&self.build);
        if std == Std::Code {
            command.args(["--release", "--config", "profile.release.opt-level=1"]);
        }
        command.env("RUSTC", COMPILER).env("RUSTDOC", "/usr/bin/rustdoc").env("RUSTC_BOOTSTRAP", "1");
        command.env("RUSTFLAGS", "-Zforce-unstable-if-unmarked").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.env("__CARGO_DEFAULT_LIB_METADATA", "wakeful").env("CARGO_INCREMENTAL", "0");
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        let originals = self.mend(target)?;
        let built = Job::new(command, self.build.join(format!("{target}.log"))).succeed();
        for (path, text) in originals.into_iter().rev() {
            fs::write(path, text)?;
        }
        built.with_context(|| format!("the standard library of {target} doesn't build"))?;

        workspace::fresh(&home)?;
        let built = self.build.join(target);
        for entry in fs::read_dir(built.join(profile).join("deps"))? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new(kind)) {
                fs::copy(&path, home.join(path.file_name().context("a file without a name")?))?;
            }
        }
        fs::remove_dir_all(&built)?;
        forget_stale(target, &home)
    }

    /// Mends the sources for `target`; what stood there before.
    fn mend(&self, target: &str) -> Result<Vec<(PathBuf, String)>> {
        let mut originals = Vec::new();
        for (_, file, from, to) in MENDS.iter().filter(|(of, ..)| target.contains(of)) {
            let path = self.sources.join(file);
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.replace(from, to))?;
            originals.push((path, text));
        }
        Ok(originals)
    }

    /// This toolchain's cargo, in the repository's root and with a build folder of its own.
    pub fn cargo<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Result<Command> {
        let mut command = Command::new(CARGO);
        command.args(args);
        self.set_up(&mut command)?;
        Ok(command)
    }

    /// `cargo clippy`.
    pub fn clippy<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Result<Command> {
        let mut command = Command::new(self.folder.join("bin/cargo-clippy"));
        command.arg("clippy").args(args);
        self.set_up(&mut command)?;
        Ok(command)
    }

    /// Lets any program that calls cargo use this toolchain.
    pub fn set_up(&self, command: &mut Command) -> Result<()> {
        let bin = self.folder.join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(bin.clone()).chain(std::env::split_paths(&path));
        command.current_dir(workspace::root()?);
        command.env("PATH", std::env::join_paths(paths)?);
        command.env("CARGO", CARGO).env("RUSTC", bin.join("rustc")).env("RUSTDOC", bin.join("rustdoc"));
        command.env("CARGO_TARGET_DIR", build_folder()?).env_remove("RUSTUP_TOOLCHAIN");
        rustflags(command, "");
        Ok(())
    }
}

/// Where this toolchain builds: cargo would take the usual one's results for its own.
pub fn build_folder() -> Result<PathBuf> {
    workspace::target("cross")
}

/// What was built with another standard library is of no use, and cargo doesn't notice.
fn forget_stale(target: &str, home: &Path) -> Result<()> {
    let made = fs::metadata(home)?.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_nanos().to_string();
    let built = build_folder()?.join(target);
    let stamp = built.join("standard-library");
    if fs::read_to_string(&stamp).ok().as_deref() == Some(&made) {
        return Ok(());
    }
    workspace::fresh(&built)?;
    Ok(fs::write(&stamp, made)?)
}

fn has(folder: &Path, extension: &str) -> bool {
    let files = fs::read_dir(folder).map(|files| files.flatten().collect()).unwrap_or_else(|_| Vec::new());
    files.iter().any(|file| file.path().extension() == Some(OsStr::new(extension)))
}

/// Makes a program of one line of shell.
#[cfg(unix)]
pub fn script(path: &Path, line: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::write(path, format!("#!/bin/sh\n{line}\n"))?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(unix)]
fn symlink(from: impl AsRef<Path>, to: PathBuf) -> Result<()> {
    Ok(fs_err::os::unix::fs::symlink(from, to)?)
}

#[cfg(not(unix))]
pub fn script(_: &Path, _: &str) -> Result<()> {
    bail!("this needs a Unix")
}

#[cfg(not(unix))]
fn symlink(_: impl AsRef<Path>, _: PathBuf) -> Result<()> {
    bail!("this needs a Unix")
}
