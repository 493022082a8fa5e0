//! `cargo xtask bench --guard`: nothing is timed, so a busy machine changes nothing. What is counted is the same on
//! each run: instructions by callgrind, system calls by strace.

use super::programs::run;
use crate::prelude::*;
use std::fmt::Write;

/// How much dearer an operation may be than the committed figure says: compilers and C libraries differ a little.
const TOLERANCE: f64 = 0.10;
/// And this many instructions, which is much only for an operation that is next to nothing.
const GRACE: f64 = 4.0;

/// What one operation costs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    instructions: f64,
    calls: f64,
}

type Figures = BTreeMap<String, Cost>;

/// Compares with the committed figures, or with `accept` replaces them.
pub fn guard(accept: bool) -> Result<bool> {
    need("valgrind")?;
    need("strace")?;
    let counter = Counter::build()?;
    let path = workspace::root()?.join("bench/guard/figures.txt");
    let now = counter.count_all()?;
    if accept {
        fs::write(&path, write(&now))?;
        println!("{}", path.display());
        return Ok(true);
    }
    let committed = read(&read_lossy(&path)?)?;
    let (table, faults) = compare(&committed, &now);
    println!("{table}");
    faults.iter().for_each(|fault| println!("{fault}"));
    if !faults.is_empty() {
        println!("if that is as it must be: `cargo xtask bench --guard --accept`, and say why in the commit");
    }
    Ok(faults.is_empty())
}

/// Runs the operations under what counts.
struct Counter {
    program: PathBuf,
    log: PathBuf,
}

/// The difference of two runs is that of the operations alone.
const FEW: u32 = 100;
const MANY: u32 = 1_100;

impl Counter {
    fn build() -> Result<Counter> {
        let target = workspace::target("bench")?;
        let mut build = cargo(["build", "--release", "--locked", "--package", "wakeful-guard"])?;
        build.current_dir(workspace::root()?.join("bench")).arg("--target-dir").arg(&target);
        run(build)?;
        Ok(Counter { program: target.join("release/wakeful-guard"), log: target.join("guard.log") })
    }

    fn count_all(&self) -> Result<Figures> {
        let operations = capture(&mut Command::new(&self.program))?;
        let cost = |operation: &str| -> Result<(String, Cost)> {
            let instructions = self.difference(operation, Counter::instructions)?;
            let calls = self.difference(operation, Counter::calls)?;
            Ok((operation.to_owned(), Cost { instructions, calls }))
        };
        operations.lines().map(cost).collect()
    }

    fn difference(&self, operation: &str, count: fn(&Counter, &str, u32) -> Result<u64>) -> Result<f64> {
        let (few, many) = (count(self, operation, FEW)?, count(self, operation, MANY)?);
        let per_operation = |sum: u64| sum as f64 / f64::from(MANY - FEW);
        many.checked_sub(few).map(per_operation).with_context(|| format!("{operation}: more is less"))
    }

    fn instructions(&self, operation: &str, times: u32) -> Result<u64> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        self.log_of(valgrind, "--log-file=", operation, times)?
            .lines()
            .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
            .context("callgrind has collected nothing")
    }

    fn calls(&self, operation: &str, times: u32) -> Result<u64> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq"]);
        let log = self.log_of(strace, "--output=", operation, times)?;
        Ok(log.lines().filter(|line| line.contains('(')).count() as u64)
    }

    fn log_of(&self, mut counter: Command, option: &str, operation: &str, times: u32) -> Result<String> {
        let _ = fs::remove_file(&self.log);
        counter.arg(with(option, &self.log)).arg(&self.program);
        counter.args(operation.split(' ')).arg(times.to_string());
        let shown = Shown(&counter).to_string();
        capture(&mut counter).with_context(|| shown)?;
        read_lossy(&self.log)
    }
}

fn with(option: &str, path: &Path) -> std::ffi::OsString {
    let mut word = std::ffi::OsString::from(option);
    word.push(path);
    word
}

const HEAD: &str = "# What an operation costs: instructions (callgrind, x86-64) and system calls (strace).
# Written by `cargo xtask bench --guard --accept`.
";

fn write(figures: &Figures) -> String {
    let mut text = HEAD.to_owned();
    for (operation, Cost { instructions, calls }) in figures {
        let _ = writeln!(text, "{operation:36} {instructions:8.1} {calls:6.2}");
    }
    text
}

fn read(text: &str) -> Result<Figures> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let figure = |line: &str| -> Result<(String, Cost)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [backend, operation, instructions, calls] = words[..] else {
            bail!("not a figure: {line}");
        };
        Ok((
            format!("{backend} {operation}"),
            Cost { instructions: instructions.parse()?, calls: calls.parse()? },
        ))
    };
    lines.map(figure).collect()
}

/// A table of both, and what is dearer than it may be.
fn compare(committed: &Figures, now: &Figures) -> (String, Vec<String>) {
    let mut table = format!("{:36} {:>18} {:>14}\n", "", "instructions", "system calls");
    let mut faults = Vec::new();
    for (operation, cost) in now {
        let Some(figure) = committed.get(operation) else {
            faults.push(format!("{operation}: there is no figure for it"));
            continue;
        };
        let _ = writeln!(
            table,
            "{operation:36} {:8.1} was {:6.1} {:5.2} was {:5.2}",
            cost.instructions, figure.instructions, cost.calls, figure.calls
        );
        // Another processor has other instructions, but makes the same calls.
        let most = figure.instructions * (1.0 + TOLERANCE) + GRACE;
        if cfg!(target_arch = "x86_64") && cost.instructions > most {
            faults.push(format!("{operation}: {:.1} instructions, at most {most:.1}", cost.instructions));
        }
        if cost.calls > figure.calls + 0.01 {
            faults.push(format!("{operation}: {:.2} system calls, at most {:.2}", cost.calls, figure.calls));
        }
    }
    for operation in committed.keys().filter(|operation| !now.contains_key(*operation)) {
        faults.push(format!("{operation}: no longer counted"));
    }
    (table, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(instructions: f64, calls: f64) -> Figures {
        [("epoll poll".to_owned(), Cost { instructions, calls })].into()
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        assert_eq!(read(&write(&figures(43.5, 1.0))).unwrap(), figures(43.5, 1.0));
        assert!(read("epoll poll many 1\n").is_err());
    }

    #[test]
    fn only_what_is_dearer_is_a_fault() {
        let faults = |now: &Figures| compare(&figures(100.0, 1.0), now).1.len();
        assert_eq!(faults(&figures(113.0, 1.0)), 0);
        assert_eq!(faults(&figures(10.0, 0.5)), 0);
        assert_eq!(faults(&figures(100.0, 2.0)), 1);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(faults(&figures(115.0, 1.0)), 1);
        }
        assert_eq!(faults(&Figures::new()), 1);
    }
}
