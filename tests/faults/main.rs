//! Linux: every system call of the library is made to fail. The error is the documented one; nothing is lost, leaks,
//! panics or hangs.
//!
//! A run without faults records the calls (`faults/scenario.rs` makes them). Then strace makes each fail, once and
//! permanently, each in its own process. `docs/faults.md` is the result.
#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "net", feature = "os-ext"))]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::Backend;

mod calls;
mod child;
mod scenario;
#[path = "../support/mod.rs"]
mod support;
mod table;

use calls::{Stand, DATAGRAMS, PIPE, PLAIN};
use support::strace::{self, needs_strace};
use table::Row;

/// `check` or `write`: tries all faults, and compares or writes the table. Unset, only the first call of each kind
/// fails.
const TABLE: &str = "WAKEFUL_FAULTS";
const CASE: &str = "WAKEFUL_FAULTS_CASE";

/// One process is killed after this.
const LIMIT: Duration = Duration::from_secs(120);

/// The calls that a fault applies to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    First,
    Second,
    /// The third time, or any after it.
    Later,
}

impl At {
    fn after(before: usize) -> At {
        [At::First, At::Second].get(before).copied().unwrap_or(At::Later)
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub call: String,
    pub error: &'static str,
    pub at: At,
    pub is_for_ever: bool,
    /// The step at which strace attaches. It counts from there, so the number of earlier calls doesn't matter.
    from: usize,
    /// The step that makes the call.
    step: usize,
    /// In strace's form.
    inject: String,
}

/// The program that the tests run; not a test itself.
#[test]
fn case() {
    let Ok(case) = std::env::var(CASE) else { return };
    let mut lines = case.split('\n');
    let backend: Backend = lines.next().unwrap().parse().expect("a backend");
    let log = lines.next().unwrap();
    let leaks = lines.next().unwrap().parse().unwrap();
    let from = lines.next().unwrap().parse().unwrap();
    let faults: Vec<&str> = lines.collect();
    for (step, e) in child::run(backend, from, &faults, Path::new(log), leaks) {
        // Not through libtest: it would keep it.
        println!("\n@ {step}\t{}", table::name(&e));
    }
    println!("\n@ done");
}

#[test]
fn without_strace_each_test_is_skipped_by_name() {
    strace::each_test_is_skipped_by_name("without_strace_each_test_is_skipped_by_name", &["case"]);
}

#[test]
fn every_call_may_fail() {
    needs_strace!();
    let how = std::env::var(TABLE).unwrap_or_default();
    let mut work = Vec::new();
    for stand in [&PLAIN, &PIPE, &DATAGRAMS] {
        for &backend in Backend::available().iter() {
            let (faults, usual) = faults(stand, backend, how.is_empty());
            let usual = Arc::new(usual);
            work.extend(faults.into_iter().map(|fault| (stand, backend, fault, Arc::clone(&usual))));
        }
    }
    for stand in [&PLAIN, &PIPE, &DATAGRAMS] {
        for call in stand.calls.iter().filter(|call| !call.errors.is_empty()) {
            // Not every libc has a wrapper for it.
            if cfg!(wakeful_libc_wrappers) && call.name == "epoll_pwait2" {
                continue;
            }
            let mut tried =
                work.iter().filter(|(of, _, fault, _)| of.name == stand.name && fault.call == call.name);
            assert!(tried.next().is_some(), "{:?}: no run makes {}", stand.name, call.name);
        }
    }
    let rows = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        // Most of the time goes into starting and ending strace.
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((stand, backend, fault, usual)) =
                    work.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let Some(outcome) = outcome(stand, *backend, fault, usual) else { continue };
                    let row = Row { stand: stand.name, backend: *backend, fault: fault.clone(), outcome };
                    rows.lock().unwrap().push(row);
                }
            });
        }
    });
    let rows = rows.into_inner().unwrap();
    println!("{} faults, {} others came to nothing", rows.len(), work.len() - rows.len());
    let failures: Vec<_> = rows.iter().filter_map(|row| row.outcome.as_ref().err()).collect();
    for failure in &failures {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} of {} have failed", failures.len(), rows.len());
    if !how.is_empty() {
        table::compare(&table::render(&rows), how == "write");
    }
}

/// Returns the faults to try, from the calls of a run without faults, and the errors of that run.
fn faults(stand: &Stand, backend: Backend, only_first: bool) -> (Vec<Fault>, Seen) {
    let (log, seen) =
        run(stand, backend, 0, None, 0).unwrap_or_else(|e| panic!("{backend}, without a fault: {e}"));
    // A system that lacks a call may cause more errors.
    assert!(!stand.name.is_empty() || seen.is_empty(), "{backend}, without a fault: {seen:?}");
    let calls = calls::in_log(&log, 0);
    if stand.name.is_empty() {
        let known: BTreeSet<_> = stand.calls.iter().map(|call| call.name).collect();
        let unknown: BTreeSet<_> =
            calls.iter().map(|made| &made.name).filter(|name| !known.contains(name.as_str())).collect();
        assert!(unknown.is_empty(), "{backend}: calls without a list of errors: {unknown:?}");
    }
    let mut faults = Vec::new();
    for call in stand.calls {
        let number = call.name.split(' ').next().unwrap();
        let mut such: Vec<_> = calls.iter().enumerate().filter(|(_, made)| made.name == call.name).collect();
        if only_first || !stand.name.is_empty() && !call.name.contains("notifier") {
            // Later ones aren't the notifier's.
            such.truncate(1);
        }
        for (before, (index, made)) in such.into_iter().enumerate() {
            let at = At::after(before);
            // A call that the system lacks fails from the beginning.
            let from = if stand.faults.is_empty() { made.step } else { 0 };
            let counted = calls[..=index].iter().filter(|made| made.step >= from && made.number == number);
            let place = counted.count();
            // A kernel that can't watch the file has said so to the modification before.
            let is_replacement =
                calls[..index].iter().any(|other| other.step == made.step && other.name == "epoll_ctl MOD");
            for &error in call.errors.iter().filter(|&&error| !(is_replacement && error == "EPERM")) {
                for is_for_ever in [false, true] {
                    // Each call of `close` that isn't made leaves a descriptor. A notifier that stays full is readable.
                    let is_no_case = number == "close" || says_full(call.name, error);
                    if is_for_ever && (only_first || is_no_case) {
                        continue;
                    }
                    let on = if is_for_ever { "+" } else { "" };
                    let inject = format!("{number}:error={error}:when={place}{on}");
                    let (call, step) = (call.name.into(), made.step);
                    faults.push(Fault { call, error, at, is_for_ever, from, step, inject });
                }
            }
        }
    }
    (faults, seen)
}

/// Whether the error means that a notifier is full.
fn says_full(call: &str, error: &str) -> bool {
    call == "write (notifier)" && error == "EAGAIN"
}

/// Calls that a step makes more or less often, depending on the timing of threads.
const VARYING: [&str; 5] = ["epoll_pwait2", "ppoll", calls::FSTAT, "read (notifier)", "write (notifier)"];

/// Returns the errors that a program gets from a fault; `Err` for a panic or a hang.
///
/// Returns `None` if the fault didn't occur: the step has made fewer such calls than without faults.
fn outcome(stand: &Stand, backend: Backend, fault: &Fault, usual: &Seen) -> Option<Result<String, String>> {
    let leaks = usize::from(fault.call == "close");
    let what = format!("{backend}, {:?}, step {}, {}", stand.name, fault.step, fault.inject);
    let (log, seen) = match run(stand, backend, fault.from, Some(&fault.inject), leaks) {
        Err(e) => return Some(Err(format!("{what}: {e}"))),
        Ok(found) => found,
    };
    let number = fault.call.split(' ').next().unwrap();
    let calls = calls::in_log(&log, fault.from);
    let failed = calls.iter().position(|made| made.number == number && made.injected == Some(fault.error));
    let is_as_planned = |index: usize| {
        let made = &calls[index];
        let is_then = if stand.faults.is_empty() {
            made.step == fault.step
        } else {
            // The number of earlier calls may differ. The log begins with the first step.
            At::after(calls[..index].iter().filter(|made| made.name == fault.call).count()) == fault.at
        };
        made.name == fault.call && is_then
    };
    match failed {
        Some(index) if is_as_planned(index) => Some(Ok(table::outcome(&seen, usual, fault))),
        _ if VARYING.contains(&fault.call.as_str()) => None,
        Some(index) => {
            Some(Err(format!("{what}: {} of step {} has failed", calls[index].name, calls[index].step)))
        }
        None => Some(Err(format!("{what}: it hasn't failed"))),
    }
}

/// The functions that have failed, and the name of each error.
type Seen = Vec<(String, String)>;

/// Runs the steps in their own process, and returns the log of the system calls from step `from` on, and the steps
/// that have failed.
fn run(
    stand: &Stand,
    backend: Backend,
    from: usize,
    inject: Option<&str>,
    leaks: usize,
) -> Result<(String, Seen), String> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut case = vec![backend.to_string(), log.display().to_string(), leaks.to_string(), from.to_string()];
    case.extend(stand.faults.iter().map(|fault| fault.to_string()));
    case.extend(inject.map(str::to_owned));
    let output = folder.path().join("output");
    let file = std::fs::File::create(&output).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "case", "--nocapture", "--test-threads=1"])
        .env(CASE, case.join("\n"))
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stderr(file.try_clone().unwrap())
        .stdout(file)
        .spawn()
        .expect("this program again");
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().expect("a child's end") {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    let output = String::from_utf8_lossy(&std::fs::read(&output).unwrap()).into_owned();
    let lines: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("@ ")).collect();
    match (status, lines.split_last()) {
        (Some(status), Some((&"done", seen))) if status.success() => {
            let seen = seen.iter().filter_map(|line| line.split_once('\t'));
            let seen = seen.map(|(step, error)| (step.to_owned(), error.to_owned())).collect();
            Ok((std::fs::read_to_string(log).unwrap_or_default(), seen))
        }
        (None, _) => Err(format!("hangs: {output}")),
        (Some(status), _) => Err(format!("{status}: {output}")),
    }
}
