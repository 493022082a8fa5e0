//! `cargo xtask model`: random programs against the model of the contract, for as long as there is time.

mod planted;

use crate::prelude::*;

/// What a program runs on: the tests of tests/model and of world/tests/model.
const GROUNDS: [&str; 9] = [
    "epoll",
    "posix_poll",
    "chaos_on_epoll",
    "chaos_on_posix_poll",
    "iocp",
    "chaos_on_iocp",
    "sim",
    "world",
    "faulty_world",
];

/// The packages that have a model.
const PACKAGES: [&str; 4] = ["--package", "wakeful-io", "--package", "wakeful-world"];

/// Run random programs on every backend, and compare with a model of the contract
#[derive(clap::Args)]
pub struct Model {
    /// How long each backend is tested
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,

    /// Where the seeds begin: the one that a failure has printed repeats it
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Plant bugs in a copy of the library, one at a time, and see that each is found within a minute
    #[arg(long, conflicts_with_all = ["seconds", "seed"])]
    planted: bool,

    /// Run on this backend only
    #[arg(value_name = "BACKEND", value_parser = GROUNDS)]
    backend: Option<String>,
}

impl Task for Model {
    fn run(self) -> Result<bool> {
        if self.planted {
            return planted::find_all(self.backend.as_deref());
        }
        let mut test = cargo(["test", "--release", "--all-features", "--test", "model"])?;
        test.args(PACKAGES).arg("--").arg("--exact").args(self.backend.as_deref());
        test.env("WAKEFUL_MODEL_SECONDS", self.seconds.to_string());
        if let Some(seed) = self.seed {
            test.env("WAKEFUL_SEED", seed.to_string());
        }
        let log = workspace::target("model")?.join("model.log");
        let ended = Job::new(test, log).echo().limit(std::time::Duration::MAX).run()?;
        let tests = Output::parse(&ended.output()?);
        if ended.success() && tests.passed() == 0 {
            bail!("no such backend: {:?}", self.backend);
        }
        Ok(ended.success())
    }
}
