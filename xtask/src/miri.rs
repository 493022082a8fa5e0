//! `cargo xtask miri`: the pure parts, the simulation, and the suite on epoll, in an interpreter that sees undefined
//! behaviour.

use crate::prelude::*;

/// Interpret tests with Miri, which sees undefined behaviour
///
/// What Miri can't do is on a list, one test and one reason each: such a test must stop with that reason.
#[derive(clap::Args)]
pub struct Miri {
    /// Run only the tests that Miri can run: leave out the check of the lists of the others
    #[arg(long)]
    quick: bool,

    /// Only this program
    #[arg(value_name = "PROGRAM", value_parser = PROGRAMS.map(|program| program.name))]
    program: Option<String>,
}

struct Program {
    name: &'static str,
    /// By which cargo knows it.
    args: &'static [&'static str],
    /// What the tests' names contain. None: all.
    filters: &'static [&'static str],
    /// What they may not contain.
    without: &'static [&'static str],
    lacking: &'static [Lacking],
}

/// A test that Miri can't run.
struct Lacking {
    test: &'static str,
    /// A part of what is printed then.
    reason: &'static str,
}

/// It has pairs of streams alone.
const NO_UNIX_SOCKETS: &str = "unsupported operation: socket: domain 0x1 is unsupported";

/// EPOLLRDNORM, which tells a poll's notifier from a source that has the same token.
const NO_SECOND_WORD: &str = "unsupported operation: epoll_ctl: encountered unknown unsupported flags 0x40";

const PROGRAMS: [Program; 3] = [
    Program {
        name: "lib",
        args: &["--lib"],
        filters: &[
            "readiness::",
            "backend::logic::watch::tests",
            "backend::logic::afd_flags",
            "backend::logic::oneoff_flags",
            "backend::logic::slab",
            "backend::logic::registrations::fd_map",
            "engine::deadlines::",
            "engine::wakes::",
        ],
        without: &[],
        lacking: &[],
    },
    Program {
        name: "sim",
        args: &["--test", "sim"],
        filters: &[],
        // Each takes Miri about a minute or more.
        without: &[
            "a_sleep_may_be_interrupted_and_loses_nothing",
            "a_source_of_a_dropped_poll_is_free",
            "connections_break_if_the_faults_say_so",
            "only_the_interest_is_reported",
            "with_room_for_one_no_source_starves",
        ],
        lacking: &[Lacking {
            test: "a_test_that_panics_prints_the_seed",
            // It runs itself again.
            reason: "unsupported operation: can't call foreign function `posix_spawnattr_init`",
        }],
    },
    Program {
        name: "conformance",
        args: &["--test", "conformance"],
        // Wakers, TCP and Unix streams.
        filters: &["waker::", "connecting::", "edges::", "unix_streams::"],
        // Only epoll is left. Miri has no ppoll(2).
        without: &["posix_poll"],
        lacking: &[
            Lacking {
                test: "connecting::a_refused_connection_is_an_error::epoll",
                reason: "unsupported operation: getsockname: when the port is 0",
            },
            Lacking { test: "tokens::every_token_after_the_first_waker::epoll", reason: NO_SECOND_WORD },
            Lacking { test: "tokens::every_token_before_the_first_waker::epoll", reason: NO_SECOND_WORD },
            Lacking {
                test: "edges::vectored_operations_arm::epoll",
                // A read into the first of two buffers alone: its readv(2) leaks.
                reason: "left: (2, [97, 98], ",
            },
            Lacking { test: "unix_streams::a_listener_of_the_file_system::epoll", reason: NO_UNIX_SOCKETS },
            Lacking { test: "unix_streams::an_unnamed_peer::epoll", reason: NO_UNIX_SOCKETS },
            Lacking {
                test: "unix_streams::datagrams::epoll",
                reason: "unsupported operation: socketpair: type 0x2 is unsupported",
            },
            Lacking { test: "unix_streams::datagrams_of_the_file_system::epoll", reason: NO_UNIX_SOCKETS },
            Lacking {
                test: "unix_streams::room_after_a_hang_up_is_reported::epoll",
                // shutdown(2) of one of a pair.
                reason: "Socket operation on non-socket",
            },
        ],
    },
];

impl Task for Miri {
    fn run(self) -> Result<bool> {
        rustup::need_miri()?;
        let wants = |program: &&Program| self.program.as_deref().map_or(true, |name| name == program.name);
        // At once: Miri has one processor for all threads of a program.
        thread::scope(|scope| {
            let runs: Vec<_> = PROGRAMS
                .iter()
                .filter(wants)
                .map(|program| scope.spawn(|| program.run(self.quick)))
                .collect();
            let mut is_good = true;
            for run in runs {
                is_good &= run.join().expect("a run doesn't panic")?;
            }
            Ok(is_good)
        })
    }
}

impl Program {
    fn run(&self, is_quick: bool) -> Result<bool> {
        let mut args = self.filters.to_vec();
        let skipped = self.without.iter().copied().chain(self.lacking.iter().map(|lacking| lacking.test));
        args.extend(skipped.flat_map(|test| ["--skip", test]));
        let ended = self.interpret(&args, "log")?;
        let output = ended.output()?;
        let tests = Output::parse(&output);
        if !ended.success() {
            println!("{}", output.trim_end());
        }
        // A renamed module would leave nothing to run, which libtest calls a success.
        if ended.success() && tests.passed() == 0 {
            bail!("{}: no test ran", self.name);
        }
        let is_good = ended.success() && (is_quick || self.are_lists_right()?);
        println!(
            "miri: {}: {} passed; {} ignored; {} that it can't run; {}",
            self.name,
            tests.passed(),
            tests.tests.values().filter(|&&outcome| outcome == Outcome::Ignored).count(),
            self.lacking.len(),
            if is_good { "clean" } else { "NOT CLEAN" }
        );
        Ok(is_good)
    }

    /// Whether each test that is left out exists, and Miri can't run those of which that is said. Each of them is a run
    /// of its own, as it ends the interpreter.
    fn are_lists_right(&self) -> Result<bool> {
        let listed = listed(&self.interpret(&["--list", "--format", "terse"], "list.log")?.output()?);
        let mut are_right = true;
        for part in self.without {
            let is_stale = !listed.iter().any(|test| test.contains(part));
            println!("{}: without {part}{}", self.name, if is_stale { ": STALE: no such test" } else { "" });
            are_right &= !is_stale;
        }
        for (number, lacking) in self.lacking.iter().enumerate() {
            let log = format!("lacking-{number}.log");
            let ended = self.interpret(&["--exact", lacking.test], &log)?;
            let verdict = lacking.verdict(&ended, &ended.output()?);
            println!("{}: {}", lacking.test, verdict.unwrap_or(lacking.reason));
            are_right &= verdict.is_none();
        }
        Ok(are_right)
    }

    fn interpret(&self, args: &[&str], log: &str) -> Result<Ended> {
        let target = workspace::target("miri")?;
        let mut test = cargo_of("nightly", ["miri", "test", "--package", "wakeful-io", "--all-features"])?;
        test.args(self.args).arg("--target-dir").arg(&target).arg("--").args(args);
        // Sockets and clocks are the machine's.
        let asked = env::var("MIRIFLAGS").unwrap_or_default();
        test.env("MIRIFLAGS", format!("{asked} -Zmiri-disable-isolation"));
        Job::new(test, target.join(format!("{}.{log}", self.name))).run()
    }
}

impl Lacking {
    /// What is wrong with the entry.
    fn verdict(&self, ended: &Ended, output: &str) -> Option<&'static str> {
        match () {
            () if ended.success() && Output::parse(output).tests.is_empty() => Some("STALE: no such test"),
            () if ended.success() => Some("STALE: Miri runs it"),
            () if output.lines().any(|line| line.contains(self.reason)) => None,
            () => Some("FAILED for another reason: the log has it"),
        }
    }
}
