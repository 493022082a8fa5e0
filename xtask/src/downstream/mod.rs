//! `cargo xtask downstream`: what stands on mio or polling, tested by its own authors' tests on the packages in compat.

mod baseline;
mod beyond;
mod build;
mod bus;
pub mod checkout;
pub mod crates;
mod execute;
mod report;
pub mod results;
pub mod source;
mod world;

use crate::prelude::*;
use baseline::Baseline;
use build::{build, Built};
use checkout::{Checkout, Subject};
use clap::builder::PossibleValuesParser;
use crates::Published;
use execute::execute;
use report::Report;
use results::{Comparison, Results};

/// Run the tests of published crates on compat/mio and compat/polling, and compare with the real mio and polling
///
/// All is kept in the cache folder, `~/.cache/wakeful/downstream`: `CRATE-VERSION` has the copies, and in `logs` what
/// each test executable printed; `target` has all builds. It may be removed at any time.
#[derive(clap::Args)]
pub struct Downstream {
    /// Crates to test, instead of all
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(crates::ALL.iter().map(|one| one.name)))]
    names: Vec<String>,

    /// Take the source of the one crate that is named from this folder, a checkout of its repository
    ///
    /// For a crate whose package leaves tests out. Its results on the real package are measured each time.
    #[arg(long, value_name = "FOLDER", requires = "names", conflicts_with = "cached_baseline")]
    source: Option<PathBuf>,

    /// What to test on, instead of wakeful's backends; `real` alone only measures the real mio or polling
    #[arg(long = "backend", value_name = "BACKEND")]
    backends: Vec<Backend>,

    /// Leave out tests that don't wait for I/O, of crates that have many of them
    #[arg(long)]
    only_io: bool,

    /// Take results on the real package that were measured earlier with the same versions of everything
    #[arg(long)]
    cached_baseline: bool,

    /// Run on wakeful's backends with chaos: all that the contract allows, by this seed, or by several
    ///
    /// Tests that rely on more than the contract are listed in xtask/src/downstream/beyond.rs, each with the reason:
    /// they may fail, and no other may.
    #[arg(long, value_name = "SEED", value_delimiter = ',')]
    chaos: Vec<u64>,

    /// Run each test in a process and a world of its own: without faults, and with those of each seed, as in `0..20`
    ///
    /// Tests that rely on more than a world has are listed in xtask/src/downstream/beyond.rs, each with the reason.
    #[arg(long, value_name = "SEEDS", value_parser = world::seeds, conflicts_with_all = ["backends", "chaos"])]
    world: Option<std::ops::Range<u64>>,

    /// Don't restore the copies of the sources, which were changed by hand
    #[arg(long)]
    keep: bool,

    /// How long a test executable may run; one test alone has a quarter of it
    #[arg(long, value_name = "SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(4..))]
    time_limit: u64,
}

/// What the tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Backend {
    Epoll,
    PosixPoll,
    /// The simulated kernel of a world
    #[value(skip)]
    World,
    /// The real mio or polling with its own choice
    Real,
}

/// A backend, perhaps with chaos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On {
    pub backend: Backend,
    /// The seed of chaos, which a world always has with a seed.
    pub chaos: Option<u64>,
}

impl On {
    const REAL: On = On { backend: Backend::Real, chaos: None };
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.backend.name())?;
        match self.chaos {
            Some(_) if self.backend == Backend::World => f.write_str(" with faults"),
            Some(seed) => write!(f, "-chaos-{seed}"),
            None => Ok(()),
        }
    }
}

impl Task for Downstream {
    fn run(self) -> Result<bool> {
        if self.source.is_some() && self.names.len() != 1 {
            bail!("--source is for one crate");
        }
        let mut report = Report::default();
        for published in crates::ALL {
            if self.names.is_empty() || self.names.iter().any(|name| name == published.name) {
                let published = match self.source {
                    // Has a folder of its own in the cache. Lives as long as this process, as the table does.
                    Some(_) => Box::leak(Box::new(Published { version: "checkout", ..*published })),
                    None => published,
                };
                // One crate that can't be had doesn't keep us from the others.
                if let Err(error) = self.test(published, &mut report) {
                    eprintln!("{}: {error:#}", published.id());
                    report.unknown(published, &error);
                }
            }
        }
        println!("\n{report}");
        Ok(report.is_good())
    }
}

impl Downstream {
    fn test(&self, published: &'static Published, report: &mut Report) -> Result<()> {
        published.programs.iter().try_for_each(|program| packages::need(&[(program, &[program])]))?;
        let home = workspace::cache("downstream")?.join(published.id());
        // Two runs at a time would overwrite each other's copies and logs.
        workspace::locked(&home.join("lock"), || self.test_in(&home, published, report))
    }

    fn test_in(&self, home: &Path, published: &'static Published, report: &mut Report) -> Result<()> {
        let source = match &self.source {
            Some(folder) => folder.clone(),
            None => source::locate(published, &home.join("scratch"))?,
        };
        let only = self.only(published, &source)?;
        let checkout = |subject| Checkout::make(published, subject, &source, home, self.keep);

        let real = checkout(Subject::Real)?;
        let ours = self.ours();
        if let Some(seeds) = &self.world {
            let checkout = checkout(Subject::World)?;
            let built = self.build(&checkout, only.as_deref(), report)?;
            let baseline = self.baseline(&real, home, only.as_deref(), &built, report)?;
            let limit = Duration::from_secs(self.time_limit) / 4;
            return world::test(&checkout, &built.executables, seeds, limit, &baseline, report);
        }
        if ours.is_empty() {
            let results = self.measure(&real, only.as_deref(), report)?;
            report.alone(published, &results);
            return Baseline::of(published, home)?.store(&results);
        }
        let checkout = checkout(Subject::Wakeful)?;
        let built = self.build(&checkout, only.as_deref(), report)?;
        let baseline = self.baseline(&real, home, only.as_deref(), &built, report)?;
        let seeds = match &self.chaos[..] {
            [] => vec![None],
            seeds => seeds.iter().copied().map(Some).collect(),
        };
        for backend in ours {
            for &chaos in &seeds {
                let on = On { backend, chaos };
                let results = self.execute(&checkout, &built, on, report)?;
                let excuse = |executable: &str, test: &str| beyond::reason(published, on, executable, test);
                report.compared(published, on, Comparison::of(&baseline, &results, excuse));
                report.stale(published, on, beyond::stale(published, on, &baseline, &results));
            }
        }
        Ok(())
    }

    fn ours(&self) -> Vec<Backend> {
        match &self.backends[..] {
            [] => vec![Backend::Epoll, Backend::PosixPoll],
            asked => asked.iter().copied().filter(|&backend| backend != Backend::Real).collect(),
        }
    }

    /// The test files to build, if not all.
    fn only(&self, published: &Published, source: &Path) -> Result<Option<Vec<String>>> {
        if !self.only_io || published.io_tests.is_empty() {
            return Ok(None);
        }
        let files = source::names(&source.join("tests"))?;
        let names = files.iter().filter_map(|file| file.to_str()?.strip_suffix(".rs"));
        let is_wanted = |name: &&str| match self.world {
            Some(_) => published.is_for_worlds(name),
            None => published.waits_for_io(name),
        };
        Ok(Some(names.filter(is_wanted).map(str::to_owned).collect()))
    }

    /// The results on the real package of what has been built for us.
    fn baseline(
        &self,
        real: &Checkout,
        home: &Path,
        only: Option<&[String]>,
        built: &Built,
        report: &mut Report,
    ) -> Result<Results> {
        let baseline = Baseline::of(real.published, home)?;
        if self.cached_baseline {
            let mut kept = baseline.load();
            let names: Vec<&String> = built.executables.iter().map(|built| &built.name).collect();
            if names.iter().all(|&name| kept.contains_key(name)) {
                kept.retain(|name, _| names.contains(&name));
                report.ran(real.published, On::REAL, &kept, None);
                return Ok(kept);
            }
        }
        let results = self.measure(real, only, report)?;
        baseline.store(&results)?;
        Ok(results)
    }

    fn measure(&self, real: &Checkout, only: Option<&[String]>, report: &mut Report) -> Result<Results> {
        let built = self.build(real, only, report)?;
        self.execute(real, &built, On::REAL, report)
    }

    fn build(&self, checkout: &Checkout, only: Option<&[String]>, report: &mut Report) -> Result<Built> {
        let (published, subject) = (checkout.published, checkout.subject());
        eprintln!("{} with {subject}: building", published.id());
        let start = Instant::now();
        let built = build(checkout, only)?;
        eprintln!("  {} test executables in {:.1?}", built.executables.len(), start.elapsed());
        report.broken(published, subject, &built.broken);
        Ok(built)
    }

    fn execute(&self, checkout: &Checkout, built: &Built, on: On, report: &mut Report) -> Result<Results> {
        let published = checkout.published;
        eprintln!("{} on {on}: testing", published.id());
        let start = Instant::now();
        let limit = Duration::from_secs(self.time_limit);
        let results = execute(checkout, &built.executables, on, limit)?;
        report.ran(published, on, &results, Some(start.elapsed()));
        Ok(results)
    }
}

impl Backend {
    pub fn name(self) -> &'static str {
        match self {
            Backend::World => "world",
            other => other.variable().unwrap_or("real"),
        }
    }

    /// The value of `WAKEFUL_BACKEND` that chooses it.
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Backend::Epoll => Some("epoll"),
            Backend::PosixPoll => Some("posix_poll"),
            Backend::World | Backend::Real => None,
        }
    }
}
