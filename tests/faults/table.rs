//! The table of faults, `docs/faults.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::path::Path;

use wakeful::Backend;

use super::calls::{DATAGRAMS, PIPE, PLAIN};
use super::{At, Fault, Seen};

pub struct Row {
    pub stand: &'static str,
    pub backend: Backend,
    pub fault: Fault,
    pub outcome: Result<String, String>,
}

/// The errors that a program gets: each function that failed, in order. `usual` has the errors without the fault,
/// since the system lacks a call.
pub fn outcome(seen: &Seen, usual: &Seen, fault: &Fault) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (function, error) in seen.iter().filter(|failed| !usual.contains(failed)) {
        let part = match error == fault.error {
            true => format!("the error from `{function}`"),
            false => format!("{error} from `{function}`"),
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    match parts.is_empty() {
        true => "nothing".into(),
        false => parts.join(", then "),
    }
}

/// Formats the table, the same way each time.
pub fn render(rows: &[Row]) -> String {
    let mut text = String::from(HEAD);
    for stand in [&PLAIN, &PIPE, &DATAGRAMS] {
        if !stand.name.is_empty() {
            let _ = write!(text, "\n## With {}\n", stand.name);
        }
        text += "\n| system call | error | when | what the program sees |\n|---|---|---|---|\n";
        for call in stand.calls {
            let of_call: Vec<_> =
                rows.iter().filter(|row| row.stand == stand.name && row.fault.call == call.name).collect();
            // The results of one error: when it occurred and what the program got; then the other errors with the
            // same results.
            let mut errors: Vec<(Vec<Line>, Vec<&str>)> = Vec::new();
            for &error in call.errors {
                let lines = lines(of_call.iter().copied().filter(|row| row.fault.error == error));
                match errors.iter_mut().find(|(same, _)| *same == lines) {
                    Some((_, errors)) => errors.push(error),
                    None => errors.push((lines, vec![error])),
                }
            }
            for (lines, errors) in errors {
                for (when, outcome) in lines {
                    let _ = writeln!(text, "| {} | {} | {when} | {outcome} |", call.name, errors.join(", "));
                }
            }
        }
    }
    text
}

/// When, and what the program sees.
type Line<'a> = (String, &'a str);

/// For one error of one call.
fn lines<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Line<'a>> {
    let mut outcomes: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        outcomes.entry(row.outcome.as_ref().expect("no failure")).or_default().push(row);
    }
    let mut lines: Vec<_> = outcomes.into_iter().collect();
    lines.sort_by_key(|(outcome, rows)| {
        let earliest = |rows: &[&Row]| rows.iter().map(|row| row.fault.at).min();
        (rows[0].backend.to_string(), earliest(rows), *outcome)
    });
    lines.into_iter().map(|(outcome, rows)| (when(&rows), outcome)).collect()
}

/// "epoll: first, second, last; posix_poll: first for ever"
fn when(rows: &[&Row]) -> String {
    let mut by_times: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for backend in Backend::available().iter() {
        let mut times: BTreeMap<At, BTreeSet<bool>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.backend == *backend) {
            times.entry(row.fault.at).or_default().insert(row.fault.is_for_ever);
        }
        let times: Vec<_> = times
            .into_iter()
            .map(|(at, how)| {
                let at = format!("{at:?}").to_lowercase();
                match (how.contains(&false), how.contains(&true)) {
                    (true, true) => at,
                    (true, false) => format!("{at}, once"),
                    _ => format!("from the {at} on"),
                }
            })
            .collect();
        if !times.is_empty() {
            by_times.entry(times.join("; ")).or_default().insert(backend.to_string());
        }
    }
    let all = Backend::available().len();
    let parts: Vec<_> = by_times
        .into_iter()
        .map(|(times, backends)| {
            if backends.len() == all {
                return times;
            }
            format!("{}: {times}", backends.into_iter().collect::<Vec<_>>().join(", "))
        })
        .collect();
    parts.join("; ")
}

/// Compares the table with the committed file, or writes it.
pub fn compare(text: &str, write: bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    if write {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed != text {
        for line in diff(&committed, text) {
            println!("{line}");
        }
        panic!("docs/faults.md isn't what this run gives: `cargo xtask faults --accept` writes it");
    }
}

fn diff(old: &str, new: &str) -> Vec<String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (old.lines().collect(), new.lines().collect());
    let gone = before.difference(&after).map(|line| format!("- {line}"));
    gone.chain(after.difference(&before).map(|line| format!("+ {line}"))).collect()
}

/// Returns the name of a system's error, or the kind of one that the library defines.
pub fn name(error: &io::Error) -> String {
    let Some(raw) = error.raw_os_error() else { return format!("`{:?}`", error.kind()) };
    let known = ERRORS.iter().find(|(_, number)| *number == raw);
    known.map_or_else(|| format!("error {raw}"), |(name, _)| name.to_string())
}

const ERRORS: [(&str, i32); 19] = [
    ("EACCES", libc::EACCES),
    ("EADDRINUSE", libc::EADDRINUSE),
    ("EADDRNOTAVAIL", libc::EADDRNOTAVAIL),
    ("EAFNOSUPPORT", libc::EAFNOSUPPORT),
    ("EAGAIN", libc::EAGAIN),
    ("ECONNABORTED", libc::ECONNABORTED),
    ("ECONNREFUSED", libc::ECONNREFUSED),
    ("EINTR", libc::EINTR),
    ("EIO", libc::EIO),
    ("EMFILE", libc::EMFILE),
    ("ENETUNREACH", libc::ENETUNREACH),
    ("ENFILE", libc::ENFILE),
    ("ENOBUFS", libc::ENOBUFS),
    ("ENODEV", libc::ENODEV),
    ("ENOMEM", libc::ENOMEM),
    ("ENOSPC", libc::ENOSPC),
    ("ENOSYS", libc::ENOSYS),
    ("ENOTCONN", libc::ENOTCONN),
    ("EPERM", libc::EPERM),
];

const HEAD: &str = "# Injected faults

`cargo xtask faults --accept` writes this file, and `cargo xtask faults` checks it: Linux, x86-64.

A thread makes every system call of the library (`tests/faults/scenario.rs`), and strace makes one of them fail: at its
first call, its second, and each later one; once, and from then on. Where the third column names neither, both gave the
same result.

In every case of this table the following holds, or the run fails:

- The program gets the error of the system call from the function that made it, or no error where the library has a
  fallback (a notifier has three kinds; if all fail, the error is that of the second, unless descriptors have run out).
  `pidfd_open` has none: if the kernel lacks it or a sandbox forbids it, the error is `Unsupported`, and `NotFound` if
  there is no such process. Nothing panics, and nothing hangs.
- The error changes nothing: the same step succeeds as soon as the call does. A permanent fault is left to another
  thread, whose calls succeed, and which continues with the same `Poll`, sources and wakers. One case is an exception:
  epoll can't modify an exclusive registration, and `reregister` deletes it and adds it again. If the second of these
  fails, the registration has ended: `deregister` fails with `NotFound`, and the source can be registered again.
- No event is lost: every byte that was sent, every wake, every registration and every end is reported afterwards, also
  to a thread that was blocked in `poll`.
- At the end no descriptor is open that was not open at the beginning.

Errors that no kernel returns in the state at hand are left out: `EAGAIN` where the call could continue (an
edge-triggered kernel would owe an event; a notifier that stays full is readable), `EINTR` of `connect`, after which
the attempt continues, though strace makes none, and `EINTR` of the `poll` that checks whether a file is always ready,
which it is. strace makes `close` fail by not making it, so its own descriptor stays open, and no other may.

Some steps make `ppoll`, `epoll_pwait2` or `fstat`, or read and write a notifier, once more or once less, depending on
the timing of threads. The table has the result of each such call, not their number: a fault for a call that a run
doesn't make has no effect, and the run prints how many have. Every row comes from calls that each run makes.
";
