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
        let backends = self.backend.iter().map(|name| Some(name.as_str()));
        let backends: Vec<Option<&str>> = match self.backend.is_empty() {
            true => vec![None],
            false => backends.collect(),
        };
        for backend in backends {
            for seed in 1..=self.seeds {
                let chaos = seed.to_string();
                let run = Run { backend, chaos: Some(&chaos), limit: Duration::from_secs(self.limit) };
                let (ended, output) = run.run(&self.program)?;
                if !ended.success() {
                    let backend = backend.unwrap_or("the default backend");
                    println!("{output}\nwith chaos by seed {seed}, on {backend}: {ended}");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// How to run a program once.
pub struct Run<'a> {
    pub backend: Option<&'a str>,
    pub chaos: Option<&'a str>,
    pub limit: Duration,
}

impl Run<'_> {
    /// How it ended, and what it printed.
    pub fn run<S: AsRef<OsStr>>(&self, program: &[S]) -> Result<(Ended, String)> {
        let [program, args @ ..] = program else { bail!("no program") };
        let mut command = Command::new(program);
        command.args(args).env_remove("WAKEFUL_CHAOS").env_remove("WAKEFUL_BACKEND");
        if let Some(chaos) = self.chaos {
            command.env("WAKEFUL_CHAOS", chaos);
        }
        if let Some(backend) = self.backend {
            command.env("WAKEFUL_BACKEND", backend);
        }
        let log = self.log()?;
        let ended = Job::new(command, &log).limit(self.limit).run()?;
        let output = ended.output()?;
        fs::remove_file(&log)?;
        Ok((ended, output))
    }

    /// rustdoc runs several of us at the same time.
    fn log(&self) -> Result<PathBuf> {
        Ok(workspace::target("shake")?.join(format!("{}.log", std::process::id())))
    }
}
