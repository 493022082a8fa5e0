//! `cargo xtask sanitize`: the test suite under a sanitizer.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::command::rustflags;
use crate::job::Job;
use crate::workspace;
use crate::Task;

/// Run the tests under the address sanitizer: needs a nightly toolchain of rustup's
///
/// The calls go through libc's wrappers, which the sanitizer knows.
#[derive(clap::Args)]
pub struct Sanitize {
    /// Run only the tests whose names contain this
    filter: Option<String>,
}

impl Task for Sanitize {
    fn run(self) -> Result<bool> {
        let target = workspace::target("sanitize")?;
        // Rustup's, which chooses the toolchain: the cargo that runs this is another toolchain's.
        let mut test = Command::new("cargo");
        test.args(["test", "--package", "wakeful", "--all-features", "--lib", "--no-fail-fast"]);
        let root = workspace::root()?;
        for entry in fs::read_dir(root.join("tests"))? {
            let path = entry?.path();
            let name = path.file_stem().filter(|_| path.extension().is_some_and(|found| found == "rs"));
            // That one is traced by strace, beside which there can't be a search for leaks.
            if let Some(name) = name.filter(|&name| name != "system_calls") {
                test.arg("--test").arg(name);
            }
        }
        test.current_dir(root);
        test.args(["--target", "x86_64-unknown-linux-gnu"])
            .arg("--target-dir")
            .arg(&target)
            .args(self.filter);
        test.env_remove("RUSTC").env_remove("CARGO").env("RUSTUP_TOOLCHAIN", "nightly");
        rustflags(
            &mut test,
            "-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer --cfg wakeful_libc_wrappers",
        );
        let ended = Job::new(test, target.join("address.log")).echo().run()?;
        Ok(ended.success())
    }
}
