//! `cargo xtask sanitize`: the test suite under the sanitizers.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::command::rustflags;
use crate::job::Job;
use crate::rustup;
use crate::workspace;
use crate::Task;

/// Run the tests under the address, the thread and the memory sanitizer: needs a nightly toolchain of rustup's
///
/// The calls go through libc's wrappers, which the sanitizers know.
#[derive(clap::Args)]
pub struct Sanitize {
    /// Only these
    sanitizers: Vec<Sanitizer>,

    /// Run only the tests whose names contain this
    #[arg(long)]
    filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sanitizer {
    Address,
    Thread,
    Memory,
}

/// Tests that can't run under some, with the reason.
const LEFT_OUT: [(&str, &[Sanitizer], &str); 4] = [
    (
        "system_calls",
        &[Sanitizer::Address, Sanitizer::Thread, Sanitizer::Memory],
        "strace traces it, and beside that there can't be a search for leaks; nor are wrappers' calls its subject",
    ),
    (
        "faults",
        &[Sanitizer::Address, Sanitizer::Thread, Sanitizer::Memory],
        "strace makes its calls fail, and those of the sanitizer too",
    ),
    (
        "limits",
        &[Sanitizer::Address, Sanitizer::Thread, Sanitizer::Memory],
        "it limits the process' memory, of which the sanitizers' shadow takes terabytes",
    ),
    (
        "soak",
        &[Sanitizer::Address, Sanitizer::Thread, Sanitizer::Memory],
        "it watches the process' memory, which the sanitizers keep for a while when it is freed",
    ),
];

impl Task for Sanitize {
    fn run(self) -> Result<bool> {
        rustup::need_nightly()?;
        let all = [Sanitizer::Address, Sanitizer::Thread, Sanitizer::Memory];
        let mut is_clean = true;
        for sanitizer in all {
            if self.sanitizers.is_empty() || self.sanitizers.contains(&sanitizer) {
                is_clean &= sanitizer.run(self.filter.as_deref())?;
            }
        }
        Ok(is_clean)
    }
}

impl Sanitizer {
    fn run(self, filter: Option<&str>) -> Result<bool> {
        let name = self.name();
        println!("== {name}");
        let target = workspace::target("sanitize")?.join(name);
        // Rustup's, which chooses the toolchain: the cargo that runs this is another toolchain's.
        let mut test = Command::new("cargo");
        test.args(["test", "--package", "wakeful", "--all-features", "--lib", "--no-fail-fast"]);
        let root = workspace::root()?;
        for entry in fs::read_dir(root.join("tests"))? {
            let path = entry?.path();
            let file = path.file_stem().filter(|_| path.extension().is_some_and(|found| found == "rs"));
            let Some(file) = file.and_then(|file| file.to_str()) else {
                continue;
            };
            match LEFT_OUT.iter().find(|(test, of, _)| *test == file && of.contains(&self)) {
                Some((_, _, why)) => println!("   without {file}: {why}"),
                None => _ = test.args(["--test", file]),
            }
        }
        test.current_dir(root);
        test.args(["--target", "x86_64-unknown-linux-gnu"]).arg("--target-dir").arg(&target);
        if self != Sanitizer::Address {
            // They must see what the standard library does.
            rustup::need_nightly_source()?;
            test.arg("-Zbuild-std");
        }
        test.args(filter);
        test.env_remove("RUSTC").env_remove("CARGO").env("RUSTUP_TOOLCHAIN", "nightly");
        rustflags(
            &mut test,
            &format!(
                "-Zsanitizer={name} -Cunsafe-allow-abi-mismatch=sanitizer --cfg wakeful_libc_wrappers{}",
                if self == Sanitizer::Memory { " -Zsanitizer-memory-track-origins" } else { "" }
            ),
        );
        let ended = Job::new(test, target.join("log")).echo().run()?;
        Ok(ended.success())
    }

    fn name(self) -> &'static str {
        match self {
            Sanitizer::Address => "address",
            Sanitizer::Thread => "thread",
            Sanitizer::Memory => "memory",
        }
    }
}
