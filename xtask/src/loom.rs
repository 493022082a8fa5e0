//! `cargo xtask loom`: the model tests, each run once for every order that its threads can take.

use crate::prelude::*;

/// Model-check with loom the waker, and registrations while a thread polls
///
/// Each model is a few threads with a few steps each. It is run once for every order of the steps in which no thread is
/// interrupted more often than stated, and for every value that the memory model lets a load answer.
#[derive(clap::Args)]
pub struct Loom {
    /// How often a thread may be interrupted by another: each step up finds more and takes far longer
    #[arg(long, value_name = "N", default_value_t = 3)]
    max_preemptions: u32,

    /// Run only the model tests whose names contain this
    #[arg(default_value = "loom")]
    filter: String,
}

impl Task for Loom {
    fn run(self) -> Result<bool> {
        let target = workspace::target("loom")?;
        let mut test = cargo(["test", "--package", "wakeful-io", "--lib", "--release"])?;
        test.arg("--target-dir").arg(&target).arg(&self.filter);
        rustflags(&mut test, "--cfg wakeful_loom");
        test.env("LOOM_MAX_PREEMPTIONS", self.max_preemptions.to_string());

        let ended = Job::new(test, target.join("loom.log")).echo().run()?;
        let tests = Output::parse(&ended.output()?);
        // A renamed module or a lost cfg would leave nothing to run, which libtest calls a success.
        if ended.success() && tests.passed() == 0 {
            bail!("no model test ran: none has `{}` in its name", self.filter);
        }
        println!(
            "{} models, of which {} hold in every order with at most {} preemptions",
            tests.tests.len(),
            tests.passed(),
            self.max_preemptions
        );
        Ok(ended.success())
    }
}
