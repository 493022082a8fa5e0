//! Every example of the documentation keeps the contract under chaos, and so does every program in `examples/`, whose
//! command line is checked too: help, refusals, and nothing that makes it panic.

use super::runner::Runner;
use crate::prelude::*;
use crate::shake::{run, SEEDS};
use std::ffi::OsString;

const BACKENDS: [&str; 2] = ["epoll", "posix_poll"];
/// None of the programs needs a tenth of it.
const LIMIT: Duration = Duration::from_secs(60);

pub fn check(runner: &mut Runner) -> Result<String> {
    let documented = documentation(runner);
    let built = build(runner)?;
    let mut faults = unlisted(&built);
    faults.extend(documented.as_ref().err().map(|error| format!("{error:#}")));
    for example in EXAMPLES {
        let Some((_, program)) = built.iter().find(|(name, _)| name == example.name) else { continue };
        faults.extend(example.check_command_line(program)?);
        faults.extend(example.shake(program)?);
        faults.extend(example.break_it(program)?);
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(format!("{}   {} examples, {SEEDS} seeds, {}\n", documented?, EXAMPLES.len(), BACKENDS.join(" and ")))
}

/// Each documentation test is built once, and run by us for each seed (`cargo xtask shake`).
fn documentation(runner: &mut Runner) -> Result<String> {
    let own = env::current_exe().context("can't find the own executable")?;
    let mut runtool = vec![OsString::from("--test-runtool"), own.into_os_string()];
    let backends = BACKENDS.iter().flat_map(|backend| ["--backend", backend]);
    for arg in ["shake"].into_iter().chain(backends) {
        runtool.extend(["--test-runtool-arg", arg].map(OsString::from));
    }
    let mut command = cargo(["test", "--doc", "--package", "wakeful-io", "--all-features"])?;
    // A path may have spaces in it.
    command.env("CARGO_ENCODED_RUSTDOCFLAGS", runtool.join(&OsString::from("\x1f")));
    let output = runner.run(command)?;
    let results = output.lines().filter(|line| line.starts_with("test result: "));
    Ok(results.map(|line| format!("   documentation, {SEEDS} seeds: {line}\n")).collect())
}

/// The name of each example, and where it is.
fn build(runner: &mut Runner) -> Result<Vec<(String, String)>> {
    let mut command = cargo(["build", "--examples", "--package", "wakeful-io", "--all-features"])?;
    command.arg("--message-format=json-render-diagnostics");
    let printed = runner.read(command)?;
    let examples = executables(&printed).filter(|(kind, ..)| kind == "example");
    let built: Vec<_> = examples.map(|(_, name, path)| (name, path.display().to_string())).collect();
    ensure!(!built.is_empty(), "cargo has built no example");
    Ok(built)
}

fn unlisted(built: &[(String, String)]) -> Vec<String> {
    let built: BTreeSet<&str> = built.iter().map(|(name, _)| name.as_str()).collect();
    let listed: BTreeSet<&str> = EXAMPLES.iter().map(|example| example.name).collect();
    let new = built.difference(&listed).map(|name| format!("{name}: not in the list of ci/examples.rs"));
    new.chain(listed.difference(&built).map(|name| format!("{name}: there is no such example"))).collect()
}

struct Example {
    name: &'static str,
    /// Whether it asks a kernel: chaos and the choice of a backend make no difference to a simulation.
    has_kernel: bool,
    /// How to make it do its work and end.
    args: &'static [&'static str],
    /// What it then prints.
    prints: &'static [&'static str],
    /// What it never prints.
    never: &'static [&'static str],
    /// What it refuses, beside what each does.
    refuses: &'static [&'static [&'static str]],
    /// What it can't do on this machine.
    fails: &'static [&'static [&'static str]],
    /// The arguments with which it relies on more than the contract: it works, and fails with each seed.
    breaks: Option<&'static [&'static str]>,
}

const fn plain(name: &'static str) -> Example {
    let (args, prints, never, refuses, fails) = (&[], &[], &[], &[], &[]);
    Example { name, has_kernel: true, args, prints, never, refuses, fails, breaks: None }
}

const EXAMPLES: &[Example] = &[
    Example {
        args: &["--seconds", "1", "--connections", "30"],
        prints: &["TCP", "UDP"],
        refuses: &[
            &["--seconds"],
            &["--seconds", "0"],
            &["--connections", "some"],
            &["--backend", "nonsense"],
            &["--serve", "nonsense"],
            &["--serve", "127.0.0.1:0", "--descriptor", "3"],
            &["--serve", "127.0.0.1:0", "--seconds", "1"],
        ],
        // The second is its own standard output. The third is an address for documentation, which no machine has (RFC
        // 5737).
        fails: &[&["--descriptor", "77"], &["--descriptor", "1"], &["--serve", "203.0.113.1:1"]],
        ..plain("echo")
    },
    Example {
        args: &["--demo"],
        prints: &["262144 bytes were returned"],
        never: &["failed"],
        refuses: &[&["127.0.0.1"], &["--demo", "nonsense"]],
        // An address for documentation, which no machine has (RFC 5737).
        fails: &[&["203.0.113.1:1"]],
        ..plain("server")
    },
    Example {
        args: &["fixed"],
        prints: &["passed"],
        never: &["failed"],
        refuses: &[&["fixed", "nonsense"]],
        breaks: Some(&[]),
        ..plain("shaken")
    },
    Example {
        args: &["--demo"],
        prints: &["SIGHUP, 1 of them", "SIGTERM: the end"],
        never: &["SIGHUP, 0 of them"],
        refuses: &[&["--demo", "nonsense"]],
        ..plain("signals")
    },
    Example {
        has_kernel: false,
        args: &["fixed"],
        prints: &["no fault was found"],
        refuses: &[&["-1"], &["fixed", "1"], &["1", "2"]],
        ..plain("simulated")
    },
    Example { prints: &["question 1 was answered", "question 5 was answered"], ..plain("udp") },
    Example { prints: &["hello from a child", "hello from a socket"], ..plain("unix") },
];

impl Example {
    /// The work, on each backend: without chaos, and with each seed.
    fn shake(&self, program: &str) -> Result<Vec<String>> {
        let (backends, seeds) = if self.has_kernel { (&BACKENDS[..], SEEDS) } else { (&BACKENDS[..1], 0) };
        self.each(program, self.args, backends, seeds, |_, ended, output| {
            let missing = self.prints.iter().find(|text| !output.contains(**text));
            let wrong = self.never.iter().find(|text| output.contains(**text));
            match (missing, wrong) {
                _ if !ended.success() => Some(ended.to_string()),
                (Some(text), _) => Some(format!("it doesn't print `{text}`")),
                (None, Some(text)) => Some(format!("it prints `{text}`")),
                (None, None) => None,
            }
        })
    }

    /// What shows a fault shows it each time, and only under chaos.
    fn break_it(&self, program: &str) -> Result<Vec<String>> {
        let Some(args) = self.breaks else { return Ok(Vec::new()) };
        self.each(program, args, &BACKENDS, SEEDS, |has_chaos, ended, _| {
            (ended.success() == has_chaos).then(|| format!("as it is: {ended}"))
        })
    }

    /// Runs it on each backend, without chaos and with each seed, until `judge` finds a fault.
    fn each(
        &self,
        program: &str,
        args: &[&str],
        backends: &[&str],
        seeds: u64,
        judge: impl Fn(bool, &Ended, &str) -> Option<String>,
    ) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        let command = [&[program], args].concat();
        for backend in backends {
            for seed in 0..=seeds {
                let chaos = (seed > 0).then(|| seed.to_string());
                let (ended, output) = run(&command, Some(backend), chaos.as_deref(), LIMIT)?;
                if let Some(fault) = judge(chaos.is_some(), &ended, &output) {
                    let seed = chaos.map_or("without chaos".to_owned(), |seed| format!("seed {seed}"));
                    faults.push(format!("{output}\n{}, {backend}, {seed}: {fault}", self.name));
                    // The others are likely to show the same.
                    break;
                }
            }
        }
        Ok(faults)
    }

    fn check_command_line(&self, program: &str) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        let mut expect = |args: &[&str], variables: Variables, code: i32, says: &str| {
            let (backend, chaos) = variables;
            // The second time each write fails, as it does where the reader has gone.
            for is_heard in [true, false] {
                let mute = ["sh", "-c", "exec \"$0\" \"$@\" >/dev/full 2>&1"];
                let prefix = if is_heard { &[][..] } else { &mute };
                let command: Vec<&str> = [prefix, &[program], args].concat();
                let (ended, output) = run(&command, backend, chaos, LIMIT)?;
                if ended.code() != Some(code) || (is_heard && !output.contains(says)) {
                    let expected = format!("not exit code {code} and `{says}`");
                    let shown = command.join(" ");
                    faults.push(format!("{output}\n{shown} {variables:?}: {ended}, {expected}"));
                }
            }
            anyhow::Ok(())
        };
        let usage = format!("Usage: {}", self.name);
        let complaint = format!("{}: ", self.name);
        for help in ["--help", "-h"] {
            expect(&[help], NONE, 0, &usage)?;
        }
        for refused in [&["--nonsense"][..], &["nonsense"], &[""]].iter().chain(self.refuses) {
            expect(refused, NONE, 2, &complaint)?;
        }
        for failing in self.fails {
            expect(failing, NONE, 1, &complaint)?;
        }
        if self.has_kernel {
            expect(self.args, (Some("nonsense"), None), 1, &complaint)?;
            expect(self.args, (None, Some("nonsense")), 1, &complaint)?;
        }
        let no_utf8 = ["sh", "-c", "exec \"$0\" \"$(printf '\\377')\"", program];
        let (ended, output) = run(&no_utf8, None, None, LIMIT)?;
        if ended.code() != Some(2) || !output.contains(&complaint) {
            faults.push(format!("{output}\n{} with an argument that isn't UTF-8: {ended}", self.name));
        }
        faults.extend(self.check_shortages(program)?);
        Ok(faults)
    }

    /// With few descriptors it fails, sooner or later, and says so.
    fn check_shortages(&self, program: &str) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for descriptors in ["3", "4", "5", "6", "8", "10"] {
            let limited = "ulimit -n $0 && exec \"$@\"";
            let command = [&["sh", "-c", limited, descriptors, program], self.args].concat();
            let (ended, output) = run(&command, None, None, LIMIT)?;
            let explains = ended.success() || output.contains(&format!("{}: ", self.name));
            if ended.hung() || !explains || output.contains("panicked") {
                faults.push(format!("{output}\n{}, {descriptors} descriptors: {ended}", self.name));
            }
        }
        Ok(faults)
    }
}

/// The backend and the seed that the environment asks for.
type Variables = (Option<&'static str>, Option<&'static str>);
const NONE: Variables = (None, None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_that_is_not_listed_is_a_fault() {
        let mut built: Vec<_> =
            EXAMPLES.iter().map(|example| (example.name.to_owned(), String::new())).collect();
        assert!(unlisted(&built).is_empty());
        built[0].0 = "new".to_owned();
        let faults = unlisted(&built);
        assert_eq!(faults, ["new: not in the list of ci/examples.rs", "echo: there is no such example"]);
    }
}
