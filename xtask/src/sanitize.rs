//! `cargo xtask sanitize`: the test suite under the sanitizers.

use crate::prelude::*;
use clap::ValueEnum;

/// Run the tests under the address, the thread and the memory sanitizer
///
/// Needs a nightly toolchain of rustup's. The calls go through libc's wrappers, which the sanitizers know.
#[derive(clap::Args)]
pub struct Sanitize {
    /// Only these
    sanitizers: Vec<Sanitizer>,

    /// Run only the tests whose names contain this
    #[arg(long)]
    filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    Address,
    Thread,
    Memory,
}

/// Programs that strace traces. Beside it there can't be a search for leaks, so they run without.
const TRACED: [&str; 2] = ["faults", "system_calls"];

/// A program that isn't run, with the reason.
const LEFT_OUT: [(&str, &str); 2] = [
    ("soak", "it watches the process' memory, which the sanitizers keep for a while when it is freed"),
    ("tidy", "it reads the sources, and calls nothing of the library"),
];

/// Tests that can't run, with the reason. No other has such a name.
const SKIPPED: [(&str, &str); 5] = [
    (
        "what_is_set_up_goes_on_without_memory",
        "it limits the process' memory, of which the sanitizers' shadow takes terabytes",
    ),
    ("exact_timeouts_make_one_call", NO_PWAIT2),
    ("timeouts_of_whole_milliseconds_are_shortened_and_make_one_call", NO_PWAIT2),
    ("a_sleep_that_ends_early_goes_on_for_the_rest_of_its_timeout", NO_PWAIT2),
    ("without_epoll_pwait2_timeouts_are_not_early_and_it_is_tried_once", NO_PWAIT2),
];

const NO_PWAIT2: &str =
    "it is about epoll_pwait2, which is called by number and so not where the wrappers are";

impl Task for Sanitize {
    fn run(self) -> Result<bool> {
        rustup::need_nightly()?;
        let mut is_clean = true;
        for sanitizer in Sanitizer::value_variants() {
            if self.sanitizers.is_empty() || self.sanitizers.contains(sanitizer) {
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
        if self != Sanitizer::Address {
            // They must see what the standard library does.
            rustup::need_nightly_source()?;
        }
        let mut programs = vec!["--lib".to_owned()];
        for file in workspace::test_programs(".")? {
            match LEFT_OUT.iter().find(|(test, _)| *test == file) {
                Some((_, why)) => println!("   without {file}: {why}"),
                None if TRACED.contains(&file.as_str()) => {}
                None => programs.push(format!("--test={file}")),
            }
        }
        for (test, why) in SKIPPED {
            println!("   without the test {test}: {why}");
        }
        let mut is_clean = self.test(&programs, filter, &target, "log")?;
        let mut left_out = LEFT_OUT.len();
        if self == Sanitizer::Thread {
            for file in TRACED {
                println!(
                    "   without {file}: strace sees the sanitizer's own calls among those that are counted"
                );
            }
            left_out += TRACED.len();
        } else {
            let traced = TRACED.map(|file| format!("--test={file}"));
            is_clean &= self.test(&traced, filter, &target, "traced.log")?;
        }
        println!(
            "== {name}: {}; left out: {left_out} programs, {} tests",
            if is_clean { "clean" } else { "NOT CLEAN" },
            SKIPPED.len()
        );
        Ok(is_clean)
    }

    fn test(self, programs: &[String], filter: Option<&str>, target: &Path, log: &str) -> Result<bool> {
        let name = self.name();
        let mut test = cargo_of("nightly", ["test", "--package", "wakeful-io", "--all-features"])?;
        test.arg("--no-fail-fast").args(programs);
        // Named, or what runs at build time would be sanitized too.
        test.args(["--target", &format!("{}-unknown-linux-gnu", env::consts::ARCH)])
            .arg("--target-dir")
            .arg(target);
        if self != Sanitizer::Address {
            test.arg("-Zbuild-std");
        }
        test.args(filter).arg("--").args(SKIPPED.iter().flat_map(|(test, _)| ["--skip", test]));
        if self == Sanitizer::Memory {
            // Without it some tests take 70 times as long. The others see each access as it is written.
            test.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        }
        if programs.iter().any(|program| TRACED.iter().any(|file| program.ends_with(file))) {
            let asked = env::var("ASAN_OPTIONS").unwrap_or_default();
            test.env("ASAN_OPTIONS", format!("{asked}:detect_leaks=0"));
        }
        rustflags(
            &mut test,
            &format!(
                "-Zsanitizer={name} -Cunsafe-allow-abi-mismatch=sanitizer --cfg wakeful_libc_wrappers{}",
                if self == Sanitizer::Memory { " -Zsanitizer-memory-track-origins" } else { "" }
            ),
        );
        let ended = Job::new(test, target.join(log)).echo().run()?;
        if ended.hung() {
            println!("{name}: {ended}");
        }
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
