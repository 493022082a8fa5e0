//! `cargo xtask fuzz`: the targets of `fuzz/`, each for as long as there is time.

use crate::prelude::*;

const TARGETS: [&str; 4] = ["watch", "knotes", "event_flags", "model"];
const VERSION: &str = "0.13.2";

/// Fuzz, with libFuzzer and the address sanitizer
///
/// Needs a nightly toolchain of rustup's and cargo-fuzz. What is missing is installed: cargo-fuzz comes from crates.io
/// and goes into the cache folder, where nothing else sees it.
#[derive(clap::Args)]
pub struct Fuzz {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,

    /// Fuzz these targets only
    #[arg(value_name = "TARGET", value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
}

impl Task for Fuzz {
    fn run(self) -> Result<bool> {
        let logs = workspace::target("fuzz")?;
        rustup::need_nightly()?;
        let program = packages::cargo_install("cargo-fuzz", VERSION, "cargo-fuzz", &[])?;
        let mut is_good = true;
        for target in TARGETS.iter().filter(|target| self.wants(target)) {
            let mut fuzz = Command::new(&program);
            fuzz.current_dir(workspace::root()?).env("RUSTUP_TOOLCHAIN", "nightly");
            // What it finds goes into the first folder; the second is committed.
            let folders = [format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}")];
            fs::create_dir_all(workspace::root()?.join(&folders[0]))?;
            fuzz.args(["fuzz", "run", target])
                .args(folders)
                .arg("--target-dir")
                .arg(&logs)
                .arg("--")
                .arg(format!("-max_total_time={}", self.seconds));
            // What cargo tells us of itself isn't for the nightly one.
            fuzz.env_remove("CARGO").env_remove("RUSTC");
            println!("== {target}");
            let limit = Duration::from_secs(self.seconds + 30 * 60);
            let ended = Job::new(fuzz, logs.join(target).with_extension("log")).limit(limit).run()?;
            let output = ended.output()?;
            let shown = match ended.success() {
                true => output.lines().rev().find(|line| line.contains("Done ")).unwrap_or_default(),
                false => output.trim_end(),
            };
            println!("{shown}\n== {target}: {ended}");
            is_good &= ended.success();
        }
        Ok(is_good)
    }
}

impl Fuzz {
    fn wants(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|wanted| wanted == target)
    }
}
