//! `cargo xtask shake`: a program must do what it does whatever the contract allows, so each seed of chaos runs it.
//!
//! Also what rustdoc runs each documentation test by: `ci/examples.rs`.

use crate::prelude::*;
use std::ffi::{OsStr, OsString};

/// Run a program with each seed of `WAKEFUL_CHAOS`, until it fails or hangs
#[derive(clap::Args)]
pub struct Shake {
    /// How many seeds: 1, 2, 3, and so on
    #[arg(long, value_name = "N", default_value_t = SEEDS)]
    seeds: u64,

    /// Which backend; may be given several times
    #[arg(long, value_name = "BACKEND")]
    backend: Vec<String>,

    /// A run that takes longer has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,

    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

/// Enough to find every documentation test and example that has been found to rely on more.
pub const SEEDS: u64 = 12;

impl Task for Shake {
    fn run(self) -> Result<bool> {
        let mut backends: Vec<_> = self.backend.iter().map(|name| Some(name.as_str())).collect();
        if backends.is_empty() {
            backends.push(None);
        }
        let program = self.program[0].to_string_lossy();
        let limit = Duration::from_secs(self.limit);
        let mut has_chaos = false;
        for backend in backends {
            for seed in 1..=self.seeds {
                let chaos = seed.to_string();
                let (ended, output) = run(&self.program, backend, Some(&chaos), limit)
                    .with_context(|| format!("can't run {program}"))?;
                has_chaos |= output.contains(&format!("wakeful: WAKEFUL_CHAOS={seed}\n"));
                if !ended.success() {
                    let (backend, chaos) = (backend.unwrap_or("the default backend"), word(has_chaos));
                    println!("{output}\n{program}, seed {seed} {chaos}, on {backend}: {ended}");
                    return Ok(false);
                }
            }
        }
        println!("{program}: {} seeds {}: passed", self.seeds, word(has_chaos));
        Ok(true)
    }
}

/// The library says once in each process, on the error output, that there is chaos.
fn word(has_chaos: bool) -> &'static str {
    match has_chaos {
        true => "of chaos",
        false => "WITHOUT CHAOS (no `Poll`, or a build without the feature `chaos`)",
    }
}

/// Runs a program and its arguments on a backend, with a seed of chaos: how it ended, and what it printed.
pub fn run<S: AsRef<OsStr>>(
    program: &[S],
    backend: Option<&str>,
    chaos: Option<&str>,
    limit: Duration,
) -> Result<(Ended, String)> {
    let [program, args @ ..] = program else { bail!("no program") };
    let mut command = Command::new(program);
    command.args(args).env_remove("WAKEFUL_CHAOS").env_remove("WAKEFUL_BACKEND");
    command.envs(chaos.map(|chaos| ("WAKEFUL_CHAOS", chaos)));
    command.envs(backend.map(|backend| ("WAKEFUL_BACKEND", backend)));
    // rustdoc runs several of us at the same time.
    let log = workspace::target("shake")?.join(format!("{}.log", std::process::id()));
    let ended = Job::new(command, &log).limit(limit).run()?;
    let output = ended.output()?;
    fs::remove_file(&log)?;
    Ok((ended, output))
}
