//! `cargo xtask soak`: many connections for a long time, and nothing may grow.

use crate::prelude::*;
use std::io::{BufRead, BufReader};

/// Serve many connections for a long time: no byte is wrong, and nothing grows
///
/// The connections come, talk, half-close and vanish. The run fails if the server ever holds fewer than were asked for,
/// or if descriptors or memory grow.
#[derive(clap::Args)]
pub struct Soak {
    /// How many connections the server holds, at least, at any time
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    connections: u64,

    /// How long, once all are open; longer if fewer than N have ended by then
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,

    /// Which backend: all if it isn't given, one after another
    #[arg(long, value_name = "BACKEND", value_parser = ["epoll", "posix_poll"])]
    backend: Option<String>,

    /// What the connections do: the one that was printed repeats it
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl Task for Soak {
    fn run(self) -> Result<bool> {
        let Ok(time) = Duration::try_from_secs_f64(self.minutes * 60.0) else {
            bail!("{} minutes are no time", self.minutes);
        };
        let mut test =
            cargo(["test", "--package", "wakeful-io", "--release", "--all-features", "--test", "soak"])?;
        test.args(["--quiet", "--", "--exact", "soak", "--nocapture", "--test-threads=1"]);
        test.env("WAKEFUL_SOAK_CONNECTIONS", self.connections.to_string());
        test.env("WAKEFUL_SOAK_MILLISECONDS", time.as_millis().to_string());
        if let Some(backend) = &self.backend {
            test.env("WAKEFUL_SOAK_BACKEND", backend);
        }
        if let Some(seed) = self.seed {
            test.env("WAKEFUL_SOAK_SEED", seed.to_string());
        }
        let mut child = test.stdout(Stdio::piped()).spawn().with_context(|| start_failed(&test))?;
        let mut judged = 0;
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            let sum = line.strip_prefix("SUM ");
            judged += usize::from(sum.is_some());
            match line.strip_prefix("PROGRESS ") {
                // One line, written over and over, which is no part of the output.
                Some(progress) => eprint!("{progress:100}\r"),
                None => println!("{}", sum.unwrap_or(&line)),
            }
        }
        let is_success = child.wait()?.success();
        if is_success && judged == 0 {
            bail!("nothing was run: the soak is for Linux");
        }
        Ok(is_success)
    }
}
