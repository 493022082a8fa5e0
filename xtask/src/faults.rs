//! `cargo xtask faults`: every system call of the library is made to fail, and the table of what comes of it.

use crate::prelude::*;

/// Make every system call fail, and compare the outcome with docs/faults.md: needs strace
#[derive(clap::Args)]
pub struct Faults {
    /// Write docs/faults.md instead of comparing
    #[arg(long)]
    accept: bool,
}

impl Task for Faults {
    fn run(self) -> Result<bool> {
        // Elsewhere there is no such test, and none of none would fail.
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            bail!("docs/faults.md is of Linux on x86-64, and so are its tests");
        }
        need("strace")?;
        let mut test = cargo(["test", "--package", "wakeful-io", "--all-features", "--test", "faults"])?;
        test.args(["--", "--nocapture"]);
        // A machine on which nothing can be traced would else be a success.
        test.env("CI", "true").env("WAKEFUL_FAULTS", if self.accept { "write" } else { "check" });
        let ended = Job::new(test, workspace::target("faults")?.join("faults.log")).echo().run()?;
        Ok(ended.success())
    }
}
